import { isAbsolute } from 'node:path';
import { maxFolders } from '../../server/protocol/methods.ts';

/** What is kept for the window between its sessions; a `vscode.Memento` is one. */
export interface FolderMemory {
  get<T>(key: string, fallback: T): T;
  update(key: string, value: unknown): Thenable<void>;
}

const chosenKey = 'onebit.chosenPaths';
/** Choices that are remembered, the latest ones. */
const chosenLimit = 200;

/**
 * The folders and files that the server may read and write for this window: its workspace folders, what its user
 * settings name, and what its user chose in dialogs or the explorer. Choices are kept for this workspace, so that what
 * was begun with them can go on after a reload.
 */
export class OpenFolders {
  private readonly listeners = new Set<() => void>();

  /**
   * @param open paths of the workspace folders now
   * @param fromSettings paths that settings name which no workspace can write
   */
  constructor(
    private readonly open: () => readonly string[],
    private readonly fromSettings: () => readonly string[],
    private readonly memory: FolderMemory,
  ) {}

  /** All of them, as absolute paths. */
  all(): string[] {
    const paths = [...this.open(), ...this.fromSettings(), ...this.chosen()];
    return [...new Set(paths)].filter((path) => isAbsolute(path)).slice(0, maxFolders);
  }

  /** The user chose these by hand. */
  async choose(paths: readonly string[]): Promise<void> {
    const before = this.chosen();
    const fresh = paths.filter((path) => isAbsolute(path));
    if (fresh.every((path) => before.includes(path))) return;
    const others = before.filter((path) => !fresh.includes(path));
    await this.memory.update(chosenKey, [...others, ...fresh].slice(-chosenLimit));
    this.changed();
  }

  /** Tells the listeners that `all` may say something else now. */
  changed(): void {
    for (const listener of [...this.listeners]) listener();
  }

  onDidChange(listener: () => void): { dispose(): void } {
    this.listeners.add(listener);
    return { dispose: () => this.listeners.delete(listener) };
  }

  private chosen(): string[] {
    return this.memory.get<string[]>(chosenKey, []);
  }
}
