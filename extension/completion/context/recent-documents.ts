import type { OpenDocument } from './similar-windows.ts';

/** Languages that speak of the same things. */
const families = [
  ['typescript', 'typescriptreact', 'javascript', 'javascriptreact', 'vue', 'svelte'],
  ['c', 'cpp', 'cuda-cpp', 'objective-c', 'objective-cpp'],
  ['css', 'scss', 'less'],
  ['html', 'vue', 'svelte'],
];

/** The open documents, the one that was looked at or edited last first. */
export class RecentDocuments {
  private readonly documents = new Map<string, OpenDocument>();

  /** The document was opened, looked at or edited just now. */
  touch(document: OpenDocument): void {
    this.documents.delete(document.document);
    this.documents.set(document.document, document);
  }

  remove(document: string): void {
    this.documents.delete(document);
  }

  /** At most `count` others of the same or a related language. */
  besides(document: string, language: string, count: number): OpenDocument[] {
    return [...this.documents.values()]
      .reverse()
      .filter((other) => other.document !== document && related(other.language, language))
      .slice(0, count);
  }
}

function related(a: string, b: string): boolean {
  return a === b || families.some((family) => family.includes(a) && family.includes(b));
}
