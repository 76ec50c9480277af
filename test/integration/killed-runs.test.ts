import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { progressSchema } from '../../server/protocol/progress.ts';
import { writeByteTokenizer } from '../reference/byte-tokenizer.ts';
import { uniform } from '../reference/random.ts';
import { writeRandomCheckpoint } from '../reference/random-checkpoint.ts';
import { cleanUp, commandLine, temporaryFolder } from './serve-process.ts';

let program: string;
let folder: string;

beforeAll(async () => {
  program = await commandLine();
  folder = temporaryFolder('killed');
  const teacher = join(folder, 'teacher');
  mkdirSync(teacher);
  writeRandomCheckpoint(teacher, { layout: 'full', vocabSize: 264, bosTokenId: null, eosTokenId: null });
  writeByteTokenizer(teacher, { end: true });
  writeFileSync(join(folder, 'text.txt'), 'let one = 1;\nlet two = one + one;\n'.repeat(60));
});
afterAll(cleanUp);

const steps = 80;

/** Runs the distillation; kills it `delayMs` after it has reported step `killAt`. */
async function distill(name: string, killAt = Infinity, delayMs = 0): Promise<string | number | null> {
  const child = spawn(
    process.execPath,
    [
      ...[program, 'distill', '--teacher', join(folder, 'teacher'), '--data', join(folder, 'text.txt')],
      ...['--output', join(folder, name), '--window', '16', '--batch', '2', '--steps', String(steps)],
      ...['--checkpoint-steps', '3', '--warmup', '3', '--held-out-windows', '2', '--held-out-share', '0.1'],
      ...['--measurements', '20', '--threads', '1', '--progress', 'json'],
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (!line.startsWith('progress ')) return;
    const { phase, done } = progressSchema.parse(JSON.parse(line.slice('progress '.length)));
    if (phase === 'distill' && done >= killAt) void sleep(delayMs).then(() => child.kill('SIGKILL'));
  });
  return new Promise((resolve) => child.once('close', (code, signal) => resolve(signal ?? code)));
}

/** The run's lines as they are on disk, but for the two figures of the clock. */
const curve = (name: string): string[] =>
  readFileSync(join(folder, `${name}.run`, 'metrics.jsonl'), 'utf8')
    .split('\n')
    .map((line) => line.replace(/"(seconds|tokensPerSecond)":[^,}]+/g, '"$1":0'));

it('a run that is killed ten times has the curve and the model of one that is not', async () => {
  expect(await distill('whole')).toBe(0);
  const random = uniform(11);
  for (let kill = 0; kill < 10; kill++) {
    const step = 4 * kill + Math.floor(4 * random());
    // Up to a few steps later: in the middle of a step, of a measurement or of a checkpoint.
    expect(await distill('killed', step, Math.floor(30 * random()))).toBe('SIGKILL');
  }
  expect(await distill('killed')).toBe(0);
  expect(curve('killed')).toEqual(curve('whole'));
  expect(curve('whole')).toHaveLength(steps + 1);
  const weights = (name: string) => readFileSync(join(folder, name, 'model.safetensors'));
  expect(weights('killed').equals(weights('whole'))).toBe(true);
  expect(readdirSync(join(folder, 'killed.run', 'checkpoints')).sort()).toEqual(['step-78', 'step-80']);
  expect(readdirSync(join(folder, 'killed.run'))).not.toContain('process.json');
});
