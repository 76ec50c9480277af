import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { tf } from '../../../server/distill/backend/tfjs.ts';
import type { WindowSource } from '../../../server/distill/data/windows.ts';
import { distillStudent, type DistillOptions } from '../../../server/distill/distill-student.ts';
import { bucketKl, softmaxKl } from '../../../server/distill/ops/index.ts';
import { presets } from '../../../server/distill/presets.ts';
import { TeacherCache } from '../../../server/distill/teacher-cache.ts';
import { writeByteTokenizer } from '../../reference/byte-tokenizer.ts';
import { writeRandomCheckpoint } from '../../reference/random-checkpoint.ts';
import { checkGradients, randomArray, relativeError } from './gradient-check.ts';
import { fastestBackends, trainingBackends } from './training-backends.ts';
import { smallData, smallTrainer } from './small-run.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'onebit-cache-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const softmaxOf = (logits: ArrayLike<number>): number[] => {
  const exps = Array.from(logits, Math.exp);
  const total = exps.reduce((a, b) => a + b, 0);
  return exps.map((e) => e / total);
};

describe.each(trainingBackends)('the KL over buckets on the %s backend', (_name, activate) => {
  beforeAll(activate);
  const [n, vocab] = [4, 13];

  it('has the value and gradient of the plain sum', async () => {
    const tokens = [3, 0, 12, 1, 2, 3, 7, 8, 11, 5, 0, 9];
    const p = [0.5, 0.2, 0.1, 0.3, 0.3, 0.3, 0.01, 0.02, 0.9, 0.4, 0.1, 0];
    await checkGradients({
      inputs: [{ shape: [n, vocab], values: randomArray(n * vocab, 5).map((x) => 3 * x) }],
      op: (logits) =>
        bucketKl(tf.tensor2d(tokens, [n, 3], 'int32'), tf.tensor2d(p, [n, 3]), logits as tf.Tensor2D),
      reference: (logits = new Float64Array()) => {
        let sum = 0;
        for (let row = 0; row < n; row++) {
          const q = softmaxOf(logits.subarray(row * vocab, (row + 1) * vocab));
          let [pTail, qTail] = [1, 1];
          for (let i = row * 3; i < row * 3 + 3; i++) {
            const [own, other] = [p[i] ?? NaN, q[tokens[i] ?? 0] ?? NaN];
            if (own > 0) sum += own * Math.log(own / other);
            pTail -= own;
            qTail -= other;
          }
          sum += pTail * Math.log(pTail / qTail);
        }
        return Float64Array.of(sum / n);
      },
    });
  });

  it('with all tokens is the KL over the vocabulary, gradient too', async () => {
    const teacher = randomArray(n * vocab, 7).map((x) => 4 * x);
    const probabilities = Array.from({ length: n }, (_, row) =>
      softmaxOf(teacher.subarray(row * vocab, (row + 1) * vocab)),
    );
    const tokens = Array.from({ length: n }, () => Array.from({ length: vocab }, (_, i) => i));
    const student = tf.tensor2d(randomArray(n * vocab, 8), [n, vocab]);
    const plain = tf.valueAndGrad((x) => softmaxKl(tf.tensor2d(teacher, [n, vocab]), x as tf.Tensor2D))(
      student,
    );
    const own = tf.valueAndGrad((x) =>
      bucketKl(
        tf.tensor2d(tokens, [n, vocab], 'int32'),
        tf.tensor2d(probabilities, [n, vocab]),
        x as tf.Tensor2D,
      ),
    )(student);
    expect(relativeError(await own.value.data(), await plain.value.data())).toBeLessThan(1e-5);
    expect(relativeError(await own.grad.data(), await plain.grad.data())).toBeLessThan(1e-5);
  });
});

describe.each(fastestBackends)('the teacher cache on the %s backend', (_name, activate) => {
  beforeAll(activate);
  const [window, vocab] = [6, 19];
  const identity = { teacher: 'abc', data: 1, window, seed: 3 };

  /** Windows that count up, and logits that are a fixed function of the token. */
  function source(): WindowSource & { drawn: () => number } {
    let at = 0;
    return {
      next: () => Int32Array.from({ length: window + 1 }, (_, i) => (at * 5 + i * 3) % vocab, at++),
      state: () => ({ epoch: 0, taken: at, turn: 0, lanes: [], random: [0, 0, 0, 0] }),
      restore: (state) => {
        at = state.taken;
      },
      drawn: () => at,
    };
  }
  const table = randomArray(vocab * vocab, 11).map((x) => 3 * x);
  let asked = 0;
  const teacher = (inputs: tf.Tensor1D): tf.Tensor2D => {
    asked++;
    return tf.gather(tf.tensor2d(table, [vocab, vocab]), inputs);
  };
  const open = (top: number, windows = 20, more = {}, name = 'cache') =>
    TeacherCache.open(
      { folder: join(folder, name), top, windows },
      { ...identity, ...more },
      source(),
      vocab,
      teacher,
      {},
    );

  it('gives each window once an epoch with what the teacher says of it, and asks the teacher once', async () => {
    asked = 0;
    const cache = await open(4);
    expect(asked).toBe(20);
    const epochs = [0, 1].map(() => Array.from({ length: 20 }, () => [...cache.next()].join(' ')));
    expect([...(epochs[0] ?? [])].sort()).toEqual([...(epochs[1] ?? [])].sort());
    expect(new Set(epochs[0]).size).toBe(19); // The first and the last are equal: they count modulo 19.
    expect(epochs[0]).not.toEqual(epochs[1]);
    const state = cache.state();
    const [first, second] = [cache.next(), cache.next()];
    const { tokens, probabilities } = cache.target(2);
    const [kept, p] = [await tokens.data(), await probabilities.data()];
    [first, second].forEach((ids, w) => {
      for (let row = 0; row < window; row++) {
        const token = ids[row] ?? 0;
        const exact = softmaxOf(table.subarray(token * vocab, (token + 1) * vocab));
        const largest = exact.map((value, i) => [value, i] as const).sort((a, b) => b[0] - a[0]);
        for (let i = 0; i < 4; i++) {
          const at = (w * window + row) * 4 + i;
          expect(kept[at]).toBe(largest[i]?.[1]);
          expect((p[at] ?? NaN) / (largest[i]?.[0] ?? NaN)).toBeCloseTo(1, 3);
        }
      }
    });
    tf.dispose([tokens, probabilities]);
    cache.close();
    const again = await open(4);
    expect(asked).toBe(20);
    again.restore(state);
    expect([[...again.next()], [...again.next()]]).toEqual([[...first], [...second]]);
    again.close();
  });

  it('goes on filling after a kill, and is refused for other data, teacher or windows', async () => {
    (await open(4)).close();
    const whole = await readFile(join(folder, 'cache', 'part-1.safetensors'));
    await rename(
      join(folder, 'cache', 'part-1.safetensors'),
      join(folder, 'cache', 'part-1.safetensors.partial'),
    );
    asked = 0;
    (await open(4)).close();
    expect(asked).toBe(4);
    expect(await readFile(join(folder, 'cache', 'part-1.safetensors'))).toEqual(whole);
    expect((await readdir(join(folder, 'cache'))).sort()).toEqual([
      'cache.json',
      'part-0.safetensors',
      'part-1.safetensors',
    ]);
    for (const [attempt, field] of [
      [() => open(5), 'top'],
      [() => open(4, 21), 'windows'],
      [() => open(4, 20, { data: 2 }), 'data'],
      [() => open(4, 20, { teacher: 'abd' }), 'teacher'],
    ] as const) {
      await expect(attempt()).rejects.toMatchObject({
        code: 'bad-request',
        message: expect.stringContaining(`is a cache with ${field} =`) as unknown,
      });
    }
  });

  it('trains a student, and with all tokens kept as without a cache', async () => {
    const path = join(folder, 'teacher');
    await mkdir(path);
    writeRandomCheckpoint(path, {
      layout: 'full',
      vocabSize: 264,
      layers: 1,
      bosTokenId: null,
      eosTokenId: null,
    });
    writeByteTokenizer(path, { end: true });
    const data = join(folder, 'data.txt');
    await writeFile(data, 'const a = [1, 2, 3];\nfor (const b of a) log(b);\n'.repeat(20));
    const options = (name: string, top: number | undefined): DistillOptions => ({
      teacher: path,
      student: undefined,
      preset: 'small',
      recipe: { ...presets.small, hiddenWeight: 0 },
      recompute: 'none',
      ...(top !== undefined && { teacherCache: { folder: join(folder, `cache-${top}`), top, windows: 1 } }),
      data: {
        ...smallData,
        data: [data],
        heldOutWindows: 1,
      },
      trainer: {
        ...smallTrainer,
        schedule: { peak: 5e-3, floor: 0.1, warmupSteps: 0, steps: 1, seconds: undefined },
        batch: 1,
        microBatch: 1,
        measurements: 1,
      },
      output: join(folder, name),
      run: join(folder, `${name}.run`),
    });
    const firstKl = async (name: string, top: number | undefined): Promise<number> => {
      await distillStudent(options(name, top), {});
      const line =
        (await readFile(join(folder, `${name}.run`, 'metrics.jsonl'), 'utf8')).split('\n')[0] ?? '';
      const metric = JSON.parse(line) as { kl: number; hidden?: number };
      expect(metric.hidden !== undefined).toBe(top === undefined);
      return metric.kl;
    };
    // One window: the cache draws the same one, so that the first step's figures compare.
    const plain = await firstKl('plain', undefined);
    expect((await firstKl('all', 300)) / plain).toBeCloseTo(1, 2);
    const some = await firstKl('some', 32);
    expect(some).toBeGreaterThan(0);
    expect(some).toBeLessThan(plain);
    const refused = { ...options('refused', 32), recipe: presets.small };
    await expect(distillStudent(refused, {})).rejects.toThrow(/use a hidden weight of 0, or no cache/);
    expect(existsSync(refused.output)).toBe(false);
  });
});
