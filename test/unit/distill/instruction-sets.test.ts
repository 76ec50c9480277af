import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TrainingAddon } from '../../../server/distill/backend/training-addon.ts';
import { nativeAddon, nativeFailure } from '../../../server/native/addon.ts';
import { packageRoot } from '../../../server/package-root.ts';
import { randomArray, relativeError } from './gradient-check.ts';

const addon = nativeAddon<TrainingAddon>();
if (addon === undefined) console.warn(`The instruction sets are not tested: ${nativeFailure()}`);

type Argument = Float32Array | Int32Array | number | boolean | null;
interface Call {
  name: string;
  args: Argument[];
}

/** Odd sizes everywhere, so that every kernel meets a rest that fills no vector. */
function calls(): Call[] {
  let seed = 0;
  const f = (n: number) => randomArray(n, ++seed);
  const positive = (n: number) => f(n).map((value) => value + 1.5);
  const ids = (n: number, limit: number) => Int32Array.from({ length: n }, (_, i) => (i * 7) % limit);
  const [rows, inputs, outputs] = [29, 37, 43];
  const frequencies = positive(5);
  const shape = [frequencies, 2, 23, 4, 2, 10] as const;
  const [n, width, kvWidth] = [46, 40, 20];
  const list: Call[] = [
    { name: 'gemm', args: [f(29 * 333), f(43 * 333), f(29 * 43), 1, 29, 43, 333, false, true, 0, 0] },
    { name: 'gemm', args: [f(29 * 999), f(43 * 999), f(29 * 43), 1, 29, 43, 999, true, false, 0, 0] },
    {
      name: 'signLinear',
      args: [
        f(rows * inputs),
        f(outputs * inputs),
        f(inputs),
        f(outputs),
        1e-5,
        f(rows * outputs),
        f(rows),
        rows,
        inputs,
        outputs,
      ],
    },
    {
      name: 'signLinearGradient',
      args: [
        f(rows * outputs),
        f(rows * outputs),
        positive(rows),
        f(rows * inputs),
        f(outputs * inputs),
        f(inputs),
        f(outputs),
        false,
        f(rows * inputs),
        f(outputs * inputs),
        f(inputs),
        f(outputs),
        rows,
        inputs,
        outputs,
        true,
      ],
    },
    { name: 'rmsNorm', args: [f(29 * 37), f(37), 1e-5, f(29 * 37), f(29), 29, 37] },
    {
      name: 'rmsNormGradient',
      args: [f(29 * 37), f(29 * 37), f(37), positive(29), f(29 * 37), f(37), 29, 37],
    },
    {
      name: 'causalAttention',
      args: [
        f(n * width),
        f(n * kvWidth),
        f(n * kvWidth),
        f(n * width),
        f(n * 4),
        f(n * width),
        f(n * kvWidth),
        ...shape,
      ],
    },
    {
      name: 'causalAttentionGradient',
      args: [
        f(n * width),
        f(n * width),
        positive(n * 4),
        f(n * width),
        f(n * kvWidth),
        f(n * kvWidth),
        f(n * width),
        f(n * kvWidth),
        f(n * kvWidth),
        ...shape,
      ],
    },
    { name: 'swiglu', args: [f(333), f(333), f(333), 333] },
    { name: 'swigluGradient', args: [f(333), f(333), f(333), f(333), f(333), 333] },
    { name: 'crossEntropy', args: [f(5 * 101), ids(5, 101), null, f(5), 5, 101] },
    { name: 'crossEntropyGradient', args: [1, f(5 * 101), ids(5, 101), null, f(5), f(5 * 101), 5, 101] },
    { name: 'softmaxKl', args: [f(5 * 101), f(5 * 101), f(5), f(5), 5, 101] },
    { name: 'softmaxKlGradient', args: [1, f(5 * 101), f(5 * 101), f(5), f(5), f(5 * 101), 5, 101] },
    { name: 'unitDistance', args: [f(5 * 101), f(5 * 101), 5, 101] },
    { name: 'unitDistanceGradient', args: [1, f(5 * 101), f(5 * 101), f(5 * 101), f(5 * 101), 5, 101] },
    {
      name: 'adam',
      args: [f(333), f(333), f(333), positive(333), 333, 1e-3, 0.9, 0.98, 1e-8, 0.01, false, 1.2, 1.3, 0.9],
    },
    { name: 'embedGradient', args: [f(9 * 37), ids(9, 11), f(11 * 37), 9, 37, 11] },
    { name: 'squaredNorm', args: [f(9999), 9999] },
  ];
  for (let op = 0; op < 4; op++)
    list.push({ name: 'binary', args: [op, f(99), positive(99), f(99), 1, 99, 0, false] });
  for (let op = 0; op < 8; op++) list.push({ name: 'unary', args: [op, positive(99), 0.5, f(99), 99] });
  return list;
}

/** All numbers a call leaves behind: its arrays and its result. */
const CHILD = `
const { training, isa } = require(process.argv[1]);
const revive = (a) => a && a.f32 ? Float32Array.from(a.f32) : a && a.i32 ? Int32Array.from(a.i32) : a;
let text = '';
process.stdin.on('data', (part) => (text += part)).on('end', () => {
  const results = JSON.parse(text).map(({ name, args }) => {
    const given = args.map(revive);
    const value = training[name](...given);
    return [...given.filter((a) => a instanceof Float32Array).map((a) => Array.from(a)), [value ?? 0]];
  });
  process.stdout.write(JSON.stringify({ isa, results }));
});`;

function runHere(list: Call[]): number[][][] {
  if (addon === undefined) return [];
  const functions = addon.training as unknown as Record<string, (...args: Argument[]) => number | undefined>;
  return list.map(({ name, args }) => {
    const value = functions[name]?.(...args);
    return [
      ...args.filter((argument) => argument instanceof Float32Array).map((array) => Array.from(array)),
      [value ?? 0],
    ];
  });
}

function runWith(isa: string, list: Call[]): { isa: string; results: number[][][] } {
  const input = JSON.stringify(
    list.map(({ name, args }) => ({
      name,
      args: args.map((argument) =>
        argument instanceof Float32Array
          ? { f32: Array.from(argument) }
          : argument instanceof Int32Array
            ? { i32: Array.from(argument) }
            : argument,
      ),
    })),
  );
  const file = join(packageRoot(), 'server', 'native', 'build', 'Release', 'onebit.node');
  const child = spawnSync(process.execPath, ['-e', CHILD, file], {
    input,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    env: { ...process.env, ONEBIT_CPU: isa },
  });
  expect(child.stderr).toBe('');
  return JSON.parse(child.stdout) as { isa: string; results: number[][][] };
}

describe.skipIf(addon === undefined)('training kernels of each instruction set', () => {
  it.each(['portable', 'avx2'])('%s agrees with the best of this machine', (isa) => {
    const list = calls();
    const other = runWith(isa, list);
    const here = runHere(list);
    if (isa === 'portable' || addon?.isa === 'avx512') expect(other.isa).toBe(isa);
    list.forEach(({ name }, i) => {
      here[i]?.forEach((expected, j) => {
        const error = relativeError(other.results[i]?.[j] ?? [], expected);
        expect(error, `${name}, array ${j}`).toBeLessThan(2e-5);
      });
    });
  });
});
