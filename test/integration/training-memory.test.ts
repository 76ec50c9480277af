import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { progressSchema } from '../../server/protocol/progress.ts';
import { writeByteTokenizer } from '../reference/byte-tokenizer.ts';
import { writeRandomCheckpoint } from '../reference/random-checkpoint.ts';
import { cleanUp, commandLine, temporaryFolder } from './serve-process.ts';

let program: string;
let folder: string;
let teacher: string;
let data: string;

beforeAll(async () => {
  program = await commandLine();
  folder = temporaryFolder('memory');
  teacher = join(folder, 'teacher');
  mkdirSync(teacher);
  writeRandomCheckpoint(teacher, {
    ...{ layout: 'full', vocabSize: 4096, bosTokenId: null, eosTokenId: null },
    ...{ hiddenSize: 128, intermediateSize: 352, layers: 4, heads: 4, kvHeads: 2, headDim: 32 },
  });
  writeByteTokenizer(teacher, { end: true });
  data = join(folder, 'text.txt');
  writeFileSync(data, 'let one = 1;\nlet two = one + one;\n'.repeat(300));
});
afterAll(cleanUp);

/** A step of a distillation: what it said that it would take, and what it took at its peak. */
async function distill(name: string, ...more: string[]): Promise<{ estimated: number; measured: number }> {
  const child = spawn(process.execPath, [
    ...[program, 'distill', '--teacher', teacher, '--data', data, '--output', join(folder, name)],
    ...['--steps', '1', '--batch', '8', '--held-out-windows', '1', '--threads', '2'],
    ...['--progress', 'json', '--json', ...more],
  ]);
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.pipe(process.stderr);
  expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0);
  const lines = output.trim().split('\n');
  const reports = lines.flatMap((line) =>
    line.startsWith('progress ') ? [progressSchema.parse(JSON.parse(line.slice('progress '.length)))] : [],
  );
  const { peakRssBytes } = JSON.parse(lines.at(-1) ?? '') as { peakRssBytes: number };
  return { estimated: reports.find(({ phase }) => phase === 'memory')?.done ?? 0, measured: peakRssBytes };
}

it('a distillation takes about as much as it says', async () => {
  const small = await distill('small', '--window', '64', '--micro-batch', '1');
  const large = await distill('large', '--window', '128', '--micro-batch', '8');
  const all = await distill('all', '--window', '128', '--micro-batch', '4', '--embeddings', 'trained');
  for (const { estimated, measured } of [small, large, all]) {
    expect(estimated / measured).toBeGreaterThan(1 / 1.3);
    expect(estimated / measured).toBeLessThan(1.3);
  }
  // The part that grows with the windows, without what every process takes.
  const growth = (large.estimated - small.estimated) / (large.measured - small.measured);
  expect(growth).toBeGreaterThan(1 / 1.3);
  expect(growth).toBeLessThan(1.3);
}, 300_000);
