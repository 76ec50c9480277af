import { mkdirSync, readFileSync, renameSync, watch, writeFileSync, type FSWatcher } from 'node:fs';
import { join } from 'node:path';
import type { Ending } from '../panel/panel-link.ts';

const fileName = 'completions-off.json';
const filesKept = 500;

/**
 * The files that are left out of completions, by their URIs, in a file of the extension's storage folder. What VS Code
 * keeps for an extension (`Memento`) reaches the disk a moment later, which a window that is reloaded or killed does not
 * wait for, and never another window; a file of our own is written at once, and all windows see it.
 */
export class FilesLeftOut {
  private readonly listeners = new Set<() => void>();
  private readonly path: string;
  private files: readonly string[] = [];
  /** Documents that are in no file yet: in another window the same name is another text. */
  private readonly untitled = new Set<string>();
  private watcher: FSWatcher | undefined;

  /**
   * @param folder this extension's own, for all windows; it may not exist yet
   * @param log where the folder cannot be used: the list then lasts as long as the window
   */
  constructor(
    private readonly folder: string,
    private readonly log: (message: string) => void,
  ) {
    this.path = join(folder, fileName);
    try {
      mkdirSync(folder, { recursive: true });
      // The folder, because each write puts another file in the place of the last.
      this.watcher = watch(folder, { persistent: false }, () => this.read());
      this.watcher.on('error', (error) => this.log(`${folder} is not watched any more: ${error.message}`));
    } catch (error) {
      this.log(`${folder} cannot be watched: ${error instanceof Error ? error.message : String(error)}`);
    }
    this.read();
  }

  has(file: string): boolean {
    return this.files.includes(file) || this.untitled.has(file);
  }

  /** Leaves a file out, or takes it in again. It is on the disk when this returns. */
  toggle(file: string): void {
    if (file.startsWith('untitled:')) {
      if (!this.untitled.delete(file)) this.untitled.add(file);
      return this.tell();
    }
    // Another window may have written a moment ago.
    this.read();
    const others = this.files.filter((each) => each !== file);
    const kept = others.length < this.files.length ? others : [...others, file].slice(-filesKept);
    try {
      mkdirSync(this.folder, { recursive: true });
      const whole = `${this.path}.${process.pid}`;
      writeFileSync(whole, JSON.stringify(kept));
      renameSync(whole, this.path);
    } catch (error) {
      this.log(`${this.path} cannot be written: ${error instanceof Error ? error.message : String(error)}`);
    }
    this.take(kept);
  }

  onDidChange(listener: () => void): Ending {
    this.listeners.add(listener);
    return { dispose: () => this.listeners.delete(listener) };
  }

  dispose(): void {
    this.watcher?.close();
    this.listeners.clear();
  }

  private read(): void {
    let text: string;
    try {
      text = readFileSync(this.path, 'utf8');
    } catch {
      // None was ever left out, or the folder cannot be used: what this window knows holds.
      return;
    }
    this.take(listOf(text));
  }

  private take(files: readonly string[]): void {
    if (files.length === this.files.length && files.every((file, i) => file === this.files[i])) return;
    this.files = files;
    this.tell();
  }

  private tell(): void {
    for (const listener of [...this.listeners]) listener();
  }
}

/** The list in a file's text; none where somebody else has written there. */
function listOf(text: string): string[] {
  try {
    const list: unknown = JSON.parse(text);
    return Array.isArray(list) ? list.filter((each) => typeof each === 'string') : [];
  } catch {
    return [];
  }
}
