import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FilesLeftOut } from '../../../../extension/completion/files-left-out.ts';

let base: string;
let folder: string;
let warnings: string[];
const opened: FilesLeftOut[] = [];

/** One window's. */
function open(at = folder): FilesLeftOut {
  const files = new FilesLeftOut(at, (message) => warnings.push(message));
  opened.push(files);
  return files;
}

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'onebit-left-out-'));
  folder = join(base, 'storage', 'onebit');
  warnings = [];
});
afterEach(() => {
  for (const files of opened.splice(0)) files.dispose();
  rmSync(base, { recursive: true, force: true });
});

it('is on the disk as soon as it is said: the next window has it, whatever became of the first', () => {
  open().toggle('file:///a.ts');
  // No turn of the event loop lies between.
  const reloaded = open();
  expect(reloaded.has('file:///a.ts')).toBe(true);
  expect(reloaded.has('file:///b.ts')).toBe(false);
  reloaded.toggle('file:///a.ts');
  expect(open().has('file:///a.ts')).toBe(false);
  expect(warnings).toEqual([]);
});

it('tells another window, both ways, and loses nothing that another has said', async () => {
  const [first, second] = [open(), open()];
  /** The other window's next news that satisfies. */
  const told = (files: FilesLeftOut, holds: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const listening = files.onDidChange(() => {
        if (!holds()) return;
        listening.dispose();
        resolve();
      });
    });
  const off = told(second, () => second.has('file:///a.ts'));
  first.toggle('file:///a.ts');
  await off;
  // Before the news of it has come, the other window says something of its own.
  first.toggle('file:///b.ts');
  second.toggle('file:///c.ts');
  for (const name of ['a', 'b', 'c']) expect(open().has(`file:///${name}.ts`), name).toBe(true);
  const on = told(first, () => !first.has('file:///a.ts') && first.has('file:///c.ts'));
  second.toggle('file:///a.ts');
  await on;
});

it('keeps untitled documents for the window alone: another one has others of the same names', () => {
  const files = open();
  let news = 0;
  files.onDidChange(() => news++);
  files.toggle('untitled:Untitled-1');
  expect(files.has('untitled:Untitled-1')).toBe(true);
  expect(open().has('untitled:Untitled-1')).toBe(false);
  files.toggle('untitled:Untitled-1');
  expect(files.has('untitled:Untitled-1')).toBe(false);
  expect(news).toBe(2);
});

it('goes on from a file that somebody else has written in, and remembers the last 500', () => {
  open().toggle('file:///0.ts');
  const path = join(folder, 'completions-off.json');
  expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(['file:///0.ts']);
  for (const text of ['', '{"a":1}', 'nonsense', '[1,null]']) {
    writeFileSync(path, text);
    expect(open().has('file:///0.ts'), text).toBe(false);
  }
  const files = open();
  for (let i = 1; i <= 501; i++) files.toggle(`file:///${i}.ts`);
  const reloaded = open();
  expect([1, 2, 501].map((i) => reloaded.has(`file:///${i}.ts`))).toEqual([false, true, true]);
});

it('lasts as long as the window where the folder cannot be used, and says so', () => {
  writeFileSync(join(base, 'file'), '');
  const files = open(join(base, 'file', 'storage'));
  files.toggle('file:///a.ts');
  expect(files.has('file:///a.ts')).toBe(true);
  files.toggle('file:///a.ts');
  expect(files.has('file:///a.ts')).toBe(false);
  expect(warnings.join()).toMatch(/cannot be written/);
});
