import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

/** A file that people wrote. */
export interface CodeFile {
  path: string;
  text: string;
}

const wanted = { shortest: 2000, longest: 60_000, most: 400 };

/**
 * TypeScript files: from lines of `{"path", "text"}` (plain or .gz), or from the packages that are installed here,
 * declarations last.
 */
export function readCode(source: string | undefined, root: string): CodeFile[] {
  const files = source === undefined ? installed(join(root, 'node_modules')) : lines(source);
  const fitting = files.filter(
    ({ text }) => text.length >= wanted.shortest && text.length <= wanted.longest && !text.includes('\r'),
  );
  if (fitting.length === 0) throw new Error('There is no code to measure with: give --code FILE.jsonl.gz');
  return fitting.slice(0, wanted.most);
}

function lines(file: string): CodeFile[] {
  const bytes = readFileSync(file);
  const text = (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as CodeFile)
    .filter(({ path }) => /\.tsx?$/.test(path));
}

function installed(folder: string): CodeFile[] {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.ts$/.test(name) && !name.includes('typescript'))
    .sort();
  const sources = names.filter((name) => !name.endsWith('.d.ts'));
  return [...sources, ...names.filter((name) => name.endsWith('.d.ts'))]
    .slice(0, 4 * wanted.most)
    .map((path) => ({ path, text: readFileSync(join(folder, path), 'utf8') }));
}
