import { identifiers, similarity } from './identifiers.ts';

/** A piece of another file. */
export interface Snippet {
  path: string;
  text: string;
}

/** A document that is open in the editor. */
export interface OpenDocument {
  document: string;
  path: string;
  language: string;
  /** Changes with the text. */
  version: number;
  text(): string;
}

interface Window {
  first: number;
  text: string;
  names: Set<string>;
}

/** Lines of files that are longer are not looked at: nobody wrote them. */
const longestDocument = 400_000;
const longestLine = 400;
/** Less alike than this is chance. */
const leastSimilarity = 0.08;

/** Windows over lines of open documents, ranked by the names that they share with the text around the cursor. */
export class SimilarWindows {
  private readonly known = new Map<string, { version: number; lines: number; windows: Window[] }>();

  /**
   * The windows most like `around`, the most alike first, at most one from each place.
   * @param windowLines lines of a window; windows begin at every half of that
   * @param budget characters of all together
   */
  rank(
    around: string,
    documents: readonly OpenDocument[],
    { windowLines, budget }: { windowLines: number; budget: number },
  ): Snippet[] {
    const names = identifiers(around);
    const candidates = documents.flatMap((document) =>
      this.windowsOf(document, windowLines).map((window) => ({
        document,
        window,
        score: similarity(names, window.names),
      })),
    );
    const chosen: typeof candidates = [];
    let left = budget;
    for (const candidate of candidates
      .filter(({ score }) => score >= leastSimilarity)
      .sort((a, b) => b.score - a.score)) {
      const { document, window } = candidate;
      const overlaps = chosen.some(
        (other) =>
          other.document.document === document.document &&
          Math.abs(other.window.first - window.first) < windowLines,
      );
      const size = document.path.length + window.text.length;
      if (overlaps || size > left) continue;
      left -= size;
      chosen.push(candidate);
    }
    return chosen.map(({ document, window }) => ({ path: document.path, text: window.text }));
  }

  forget(document: string): void {
    this.known.delete(document);
  }

  private windowsOf(document: OpenDocument, lines: number): Window[] {
    const known = this.known.get(document.document);
    if (known?.version === document.version && known.lines === lines) return known.windows;
    const windows = cut(document.text(), lines);
    this.known.set(document.document, { version: document.version, lines, windows });
    return windows;
  }
}

function cut(text: string, windowLines: number): Window[] {
  if (text.length > longestDocument) return [];
  const lines = text.split(/\r?\n/);
  const step = Math.max(1, Math.floor(windowLines / 2));
  const windows: Window[] = [];
  for (let first = 0; first < lines.length; first += step) {
    const part = lines.slice(first, first + windowLines);
    if (part.some((line) => line.length > longestLine)) continue;
    const joined = part.join('\n').trimEnd();
    if (joined !== '') windows.push({ first, text: joined, names: identifiers(joined) });
    if (first + windowLines >= lines.length) break;
  }
  return windows;
}
