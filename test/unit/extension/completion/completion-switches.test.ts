import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { CompletionSwitches } from '../../../../extension/completion/completion-switches.ts';
import { FilesLeftOut } from '../../../../extension/completion/files-left-out.ts';

/** The user's settings, as VS Code gives them to every window. */
const vscode = vi.hoisted(() => {
  const values = new Map<string, unknown>();
  const listeners = new Set<(event: { affectsConfiguration: (name: string) => boolean }) => void>();
  return {
    values,
    /** As VS Code does it in each window once settings.json has changed, whoever wrote it. */
    set(name: string, value: unknown): void {
      values.set(name, value);
      for (const listener of [...listeners]) listener({ affectsConfiguration: (asked) => asked === name });
    },
    listeners,
  };
});
vi.mock('vscode', () => ({
  ConfigurationTarget: { Global: 1, Workspace: 2 },
  Disposable: {
    from: (...all: { dispose(): void }[]) => ({ dispose: () => all.forEach((each) => each.dispose()) }),
  },
  workspace: {
    getConfiguration: (section: string) => ({
      get: (name: string, usual: unknown) => vscode.values.get(`${section}.${name}`) ?? usual,
      inspect: () => undefined,
      update: (name: string, value: unknown) => Promise.resolve(vscode.set(`${section}.${name}`, value)),
    }),
    onDidChangeConfiguration: (listener: typeof vscode.listeners extends Set<infer T> ? T : never) => {
      vscode.listeners.add(listener);
      return { dispose: () => vscode.listeners.delete(listener) };
    },
  },
}));

const document = {
  languageId: 'typescript',
  isUntitled: false,
  uri: { toString: () => 'file:///a.ts' },
} as unknown as Parameters<CompletionSwitches['toggleFile']>[0];

let folder: string;
let files: FilesLeftOut[];
/** One window's; all share what VS Code and the disk hold. */
function window(): CompletionSwitches {
  const own = new FilesLeftOut(folder, () => {});
  files.push(own);
  return new CompletionSwitches(own);
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'onebit-switches-'));
  files = [];
  vscode.values.clear();
});
afterEach(() => {
  for (const each of files) each.dispose();
  rmSync(folder, { recursive: true, force: true });
});

it('tells every window when one has switched completions off and on, everywhere or for a language', async () => {
  const [first, second] = [window(), window()];
  const seen: unknown[] = [];
  const listening = second.onDidChange(() => seen.push(second.off(document)));
  await first.toggle(document);
  await first.toggle(document);
  expect(seen).toEqual(['everywhere', undefined]);
  vscode.set('onebit.completion.languages', ['python']);
  expect(seen.at(-1)).toBe('language');
  const before = seen.length;
  vscode.set('onebit.completion.debounceMs', 100);
  expect(seen).toHaveLength(before);
  listening.dispose();
  vscode.set('onebit.completion.languages', ['*']);
  expect(seen).toHaveLength(before);
});

it('listens to nothing any more once it is disposed', () => {
  const before = vscode.listeners.size;
  const switches = window();
  expect(vscode.listeners.size).toBe(before + 1);
  switches.dispose();
  expect(vscode.listeners.size).toBe(before);
});

it('tells another window of a file that is left out', async () => {
  const [first, second] = [window(), window()];
  const told = new Promise<void>((resolve) => second.onDidChange(() => resolve()));
  first.toggleFile(document);
  await told;
  expect(second.off(document)).toBe('file');
  await second.toggle(document);
  expect(window().off(document)).toBeUndefined();
});
