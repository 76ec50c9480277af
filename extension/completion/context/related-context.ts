import { lineAfter, lineBefore, linesAbove, linesBelow, type Cursor } from '../cursor.ts';
import { importedSymbols, usedSymbols, type ImportedSymbol } from './imported-symbols.ts';
import type { RecentDocuments } from './recent-documents.ts';
import { SimilarWindows, type Snippet } from './similar-windows.ts';

/** Where a symbol is defined, as far as a language extension knows. Rejections and slowness are expected. */
export type FindDefinition = (
  document: string,
  symbol: ImportedSymbol,
  signal: AbortSignal,
) => Promise<Snippet | undefined>;

export interface RelatedOptions {
  recent: RecentDocuments;
  /** The beginning of an open document, where its imports stand. */
  head: (document: string) => string;
  findDefinition: FindDefinition;
  /** Milliseconds that definitions may take. */
  definitionMs?: number;
}

/** Of code it is fewer characters a token: rather a snippet too small than one that the server has to leave out. */
const charactersPerToken = 2.8;
const longestBudget = 8000;
/** The share of the context that snippets may fill; the server keeps a quarter of the prompt for them. */
const share = 0.2;
/** The choice stays while the cursor is so near to where it was made: the prompt begins with it. */
const nearLines = 30;
const keptMs = 60_000;
/** The same for a choice that had to do without definitions, because they took too long. */
const lateKeptMs = 5000;
const documentsRead = 12;
const symbolsRead = 4;

interface Choice {
  document: string;
  line: number;
  until: number;
  budget: number;
  snippets: Promise<Snippet[]>;
}

/**
 * What other files say about the code at the cursor: definitions of imported symbols that are used there, then the
 * most similar pieces of documents that are open. Chosen once for a place and kept while the cursor stays near,
 * so that the beginning of the prompt stays the same from keystroke to keystroke. The clipboard is never read.
 */
export class RelatedContext {
  private readonly windows = new SimilarWindows();
  private choice: Choice | undefined;

  constructor(private readonly options: RelatedOptions) {}

  /** @param contextLength tokens of the model's context */
  snippets(cursor: Cursor, contextLength: number, now = performance.now()): Promise<Snippet[]> {
    const budget = Math.min(longestBudget, Math.floor(contextLength * share * charactersPerToken));
    const { choice } = this;
    if (
      choice?.document === cursor.document &&
      choice.budget === budget &&
      Math.abs(choice.line - cursor.line) <= nearLines &&
      now < choice.until
    ) {
      return choice.snippets;
    }
    const snippets = this.choose(cursor, budget, now + lateKeptMs);
    this.choice = { document: cursor.document, line: cursor.line, until: now + keptMs, budget, snippets };
    return snippets;
  }

  /** A document is closed. */
  forget(document: string): void {
    this.windows.forget(document);
    if (this.choice?.document === document) this.choice = undefined;
  }

  private async choose(cursor: Cursor, budget: number, lateUntil: number): Promise<Snippet[]> {
    const line = lineBefore(cursor) + lineAfter(cursor);
    const around = [...linesAbove(cursor, 30), line, ...linesBelow(cursor, 5)].join('\n');
    const definitions = await this.definitions(cursor, around, lateUntil);
    const chosen: Snippet[] = [];
    // Half for definitions at most: what is alike helps more where names are the model's own.
    let left = budget;
    for (const snippet of definitions) {
      const size = snippet.path.length + snippet.text.length;
      if (size > left - budget / 2) continue;
      chosen.push(snippet);
      left -= size;
    }
    const documents = this.options.recent.besides(cursor.document, cursor.language, documentsRead);
    const windowLines = Math.max(6, Math.min(40, Math.floor(left / 60)));
    const similar = this.windows.rank(around, documents, { windowLines, budget: left });
    const known = chosen.map(({ text }) => text.trim());
    return [...chosen, ...similar.filter(({ text }) => !known.some((other) => text.includes(other)))];
  }

  /** What is found within the time, in the symbols' order. */
  private async definitions(cursor: Cursor, around: string, lateUntil: number): Promise<Snippet[]> {
    const { findDefinition, head, definitionMs = 60 } = this.options;
    const symbols = usedSymbols(importedSymbols(head(cursor.document)), around).slice(0, symbolsRead);
    if (symbols.length === 0) return [];
    const late = new AbortController();
    const found: (Snippet | undefined)[] = symbols.map(() => undefined);
    const lookups = symbols.map(async (symbol, index) => {
      const snippet = await findDefinition(cursor.document, symbol, late.signal).catch(() => undefined);
      if (!late.signal.aborted) found[index] = snippet;
    });
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<void>((resolve) => (timer = setTimeout(resolve, definitionMs)));
    const inTime = await Promise.race([Promise.all(lookups).then(() => true), limit.then(() => false)]);
    clearTimeout(timer);
    late.abort();
    // A language extension that has just started answers better in a moment.
    if (!inTime && this.choice !== undefined) this.choice.until = Math.min(this.choice.until, lateUntil);
    return found.filter((snippet) => snippet !== undefined);
  }
}
