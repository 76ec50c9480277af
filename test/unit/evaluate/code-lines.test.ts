import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { readCodeLines } from '../../../server/evaluate/code-lines.ts';

const folder = mkdtempSync(join(tmpdir(), 'onebit-code-lines-'));
afterAll(() => rmSync(folder, { recursive: true }));

function write(name: string, texts: string[]): string {
  const path = join(folder, name);
  writeFileSync(path, texts.map((text) => `${JSON.stringify({ text })}\n`).join(''));
  return path;
}

it('asks for whole lines with a word, behind their indentation, spread over all of the set', async () => {
  const first = 'function add(a, b) {\n  return a + b;  \n}\n\n// 1\n';
  const second = '\tconst other = 1;\r\n\tx();\n';
  const path = write('code.jsonl', [first, second]);
  const all = await readCodeLines(path, 100);
  expect(all.map(({ expected }) => expected)).toEqual([
    'function add(a, b) {',
    'return a + b;',
    'const other = 1;',
  ]);
  expect(all[1]).toEqual({
    prefix: 'function add(a, b) {\n  ',
    suffix: '\n}\n\n// 1\n',
    expected: 'return a + b;',
  });
  expect(all[2]).toMatchObject({ prefix: '\t', suffix: '\r\n\tx();\n' });
  expect((await readCodeLines(path, 1)).map(({ expected }) => expected)).toEqual(['return a + b;']);
});

it('says what is wrong with a file', async () => {
  await expect(readCodeLines(write('none.jsonl', ['{}\n', '1;']), 10)).rejects.toMatchObject({
    code: 'bad-file',
    message: expect.stringContaining('none.jsonl') as string,
  });
  writeFileSync(join(folder, 'other.jsonl'), '{"code": "a"}\n');
  await expect(readCodeLines(join(folder, 'other.jsonl'), 10)).rejects.toThrow('line 1');
});
