import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, watch, writeFileSync } from 'node:fs';
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

interface Kill {
  /** Not before this step has been reported. */
  step: number;
  /** `later`: a moment after that; `writing`: while a checkpoint lies there half-written. */
  when: 'later' | 'writing';
  /** How long the moment is. */
  delayMs: number;
}

/** Runs the distillation; kills it as it is told. */
async function distill(name: string, kill?: Kill): Promise<string | number | null> {
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
  let due = false;
  const wait = (): Promise<void> => sleep(kill?.delayMs);
  const checkpoints = join(folder, `${name}.run`, 'checkpoints');
  mkdirSync(checkpoints, { recursive: true });
  const watcher = watch(checkpoints, (_event, file) => {
    if (!due || kill?.when !== 'writing' || file?.endsWith('.partial') !== true) return;
    // Held still, it cannot finish the checkpoint before it is killed; if it has, the next one will do.
    void wait().then(() => {
      child.kill('SIGSTOP');
      child.kill(existsSync(join(checkpoints, file)) ? 'SIGKILL' : 'SIGCONT');
    });
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (!line.startsWith('progress ')) return;
    const { phase, done } = progressSchema.parse(JSON.parse(line.slice('progress '.length)));
    if (kill === undefined || phase !== 'distill' || done < kill.step) return;
    due = true;
    if (kill.when === 'later') void wait().then(() => child.kill('SIGKILL'));
  });
  return new Promise((resolve) =>
    child.once('close', (code, signal) => {
      watcher.close();
      resolve(signal ?? code);
    }),
  );
}

const checkpointsOf = (name: string): string[] =>
  readdirSync(join(folder, `${name}.run`, 'checkpoints')).sort();

/** The run's lines as they are on disk, but for the two figures of the clock. */
const curve = (name: string): string[] =>
  readFileSync(join(folder, `${name}.run`, 'metrics.jsonl'), 'utf8')
    .split('\n')
    .map((line) => line.replace(/"(seconds|tokensPerSecond)":[^,}]+/g, '"$1":0'));

// Another one each time; a run that fails is repeated with the seed that its title names.
const seed = Number(process.env.ONEBIT_KILL_SEED ?? randomInt(2 ** 31));

it(`a run that is killed ten times has the curve and the model of one that is not (ONEBIT_KILL_SEED=${seed})`, async () => {
  expect(await distill('whole')).toBe(0);
  const random = uniform(seed);
  let halfWritten = 0;
  for (let count = 0; count < 10; count++) {
    const step = 4 * count + Math.floor(4 * random());
    const when = count % 2 === 0 ? 'later' : 'writing';
    // Later: up to a few steps, in the middle of a step, a measurement or a checkpoint.
    const delayMs = Math.floor((when === 'later' ? 30 : 3) * random());
    expect(await distill('killed', { step, when, delayMs })).toBe('SIGKILL');
    if (checkpointsOf('killed').some((file) => file.endsWith('.partial'))) halfWritten++;
  }
  // Killed while it wrote one, it leaves that behind; else the test has missed what it is for.
  expect(halfWritten).toBeGreaterThan(0);
  expect(await distill('killed')).toBe(0);
  expect(curve('killed')).toEqual(curve('whole'));
  expect(curve('whole')).toHaveLength(steps + 1);
  const weights = (name: string) => readFileSync(join(folder, name, 'model.safetensors'));
  expect(weights('killed').equals(weights('whole'))).toBe(true);
  expect(checkpointsOf('killed')).toEqual(['step-78', 'step-80']);
  expect(readdirSync(join(folder, 'killed.run'))).not.toContain('process.json');
});
