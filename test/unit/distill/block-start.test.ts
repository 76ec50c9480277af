import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { blockError } from '../../../server/distill/block-start.ts';
import type { tf } from '../../../server/distill/backend/tfjs.ts';
import { distillStudent, type DistillOptions } from '../../../server/distill/distill-student.ts';
import { presets } from '../../../server/distill/presets.ts';
import { metricSchema } from '../../../server/protocol/job.ts';
import type { Progress } from '../../../server/protocol/progress.ts';
import { writeByteTokenizer } from '../../reference/byte-tokenizer.ts';
import { writeRandomCheckpoint } from '../../reference/random-checkpoint.ts';
import { checkGradients, randomArray } from './gradient-check.ts';
import { fastestBackends } from './training-backends.ts';
import { smallData, smallTrainer } from './small-run.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'onebit-blocks-'));
  const teacher = join(folder, 'teacher');
  await mkdir(teacher);
  writeRandomCheckpoint(teacher, {
    layout: 'full',
    hiddenSize: 32,
    intermediateSize: 48,
    vocabSize: 264,
    bosTokenId: null,
    eosTokenId: null,
  });
  writeByteTokenizer(teacher, { end: true });
  await writeFile(join(folder, 'data.txt'), 'const a = [1, 2, 3];\nfor (const b of a) log(b);\n'.repeat(20));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const options = (name: string, blockInputs: 'student' | 'teacher' = 'student'): DistillOptions => ({
  teacher: join(folder, 'teacher'),
  student: undefined,
  preset: 'small',
  recipe: { ...presets.small, blockSteps: 12, blockInputs },
  recompute: 'none',
  data: {
    ...smallData,
    data: [join(folder, 'data.txt')],
    heldOutWindows: 2,
  },
  trainer: {
    ...smallTrainer,
    schedule: { peak: 5e-3, floor: 0.1, warmupSteps: 2, steps: 2, seconds: undefined },
    batch: 2,
    microBatch: 2,
    measurements: 1,
  },
  output: join(folder, name),
  run: join(folder, `${name}.run`),
});

const losses = async (run: string, block: number): Promise<number[]> =>
  (await readFile(join(run, 'blocks', String(block), 'metrics.jsonl'), 'utf8'))
    .trim()
    .split('\n')
    .map((line) => metricSchema.parse(JSON.parse(line)).loss);
const mean = (values: number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

describe.each(fastestBackends)('block-wise start on the %s backend', (_name, activate) => {
  beforeAll(activate);

  it('measures what leaves a block by the relative squared error of each row', async () => {
    const wanted = randomArray(5 * 7, 3);
    await checkGradients({
      inputs: [
        { shape: [5, 7], values: wanted },
        { shape: [5, 7], values: randomArray(5 * 7, 4) },
      ],
      op: (a, b) => blockError(a as tf.Tensor2D, b as tf.Tensor2D),
      reference: (a = new Float64Array(), b = a) => {
        let sum = 0;
        for (let row = 0; row < 5; row++) {
          let [error, size] = [0, 0];
          for (let i = row * 7; i < (row + 1) * 7; i++) {
            error += ((b[i] ?? NaN) - (a[i] ?? NaN)) ** 2;
            size += (a[i] ?? NaN) ** 2;
          }
          sum += error / size / 5;
        }
        return Float64Array.of(sum);
      },
    });
  });

  it.each(['student', 'teacher'] as const)(
    'brings every block nearer to its teacher, with inputs of the %s',
    async (blockInputs) => {
      const reports: Progress[] = [];
      const given = options('student', blockInputs);
      await distillStudent(given, { onProgress: (progress) => reports.push(progress) });
      for (const block of [0, 1]) {
        const curve = await losses(given.run, block);
        expect(curve).toHaveLength(12);
        expect(mean(curve.slice(-4))).toBeLessThan(0.9 * mean(curve.slice(0, 4)));
      }
      const blocks = reports.filter(({ phase }) => phase === 'block start');
      expect(blocks.map(({ done }) => done)).toEqual(Array.from({ length: 24 }, (_, i) => i + 1));
      expect(blocks.at(-1)).toMatchObject({ total: 24, message: 'block 2 of 2' });
      expect(blocks.every(({ metric }) => metric === undefined)).toBe(true);
      expect(JSON.parse(await readFile(join(given.output, 'onebit.json'), 'utf8'))).toMatchObject({
        recipe: { blockSteps: 12, blockInputs },
      });
    },
  );

  it('goes on where it was stopped, within any block, to the same student', async () => {
    const whole = await distillStudent(options('whole'), {});
    const given = options('parts');
    for (const stop of [5, 17]) {
      const controller = new AbortController();
      const onProgress = ({ phase, done }: Progress) => {
        if (phase === 'block start' && done === stop) controller.abort();
      };
      await expect(distillStudent(given, { signal: controller.signal, onProgress })).rejects.toMatchObject({
        code: 'cancelled',
      });
      expect(existsSync(given.output)).toBe(false);
    }
    const parts = await distillStudent(given, {});
    expect(parts.perplexity).toEqual(whole.perplexity);
    const file = 'model.safetensors';
    expect(await readFile(join(parts.output, file))).toEqual(await readFile(join(whole.output, file)));
  });
});
