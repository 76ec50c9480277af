import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { inspectLayersResultSchema, inspectMatrixResultSchema } from '../../server/protocol/inspect.ts';
import { progressSchema } from '../../server/protocol/progress.ts';
import { writeShape } from '../bench/model-shape.ts';
import { readPlainTensors } from '../reference/plain-safetensors.ts';
import { normal } from '../reference/random.ts';
import { writeRandomCheckpoint } from '../reference/random-checkpoint.ts';
import { leadingSingularTriple } from '../reference/singular-pair.ts';
import { layersCsv } from '../../server/protocol/layers-csv.ts';
import { matrixCsv } from '../../server/protocol/matrix-csv.ts';
import { onebit, onebitJson } from './onebit-command.ts';

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'onebit-commands-'))));
afterAll(() => rm(folder, { recursive: true }));

it('onebit svid gives the leading singular pair of |W| to 1e-4', async () => {
  const [rows, columns] = [56, 72];
  const next = normal(8);
  const weight = Float32Array.from({ length: rows * columns }, () => 0.02 * next());
  const header =
    `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${columns}), }`.padEnd(117) + '\n';
  const start = Buffer.concat([Buffer.from('\x93NUMPY\x01\x00v\x00', 'latin1'), Buffer.from(header)]);
  const file = join(folder, 'weight.npy');
  await writeFile(file, Buffer.concat([start, new Uint8Array(weight.buffer)]));

  type Factors = { rel_error: number; g: number[]; h: number[] };
  const { rel_error, g, h } = await onebitJson<Factors>(['svid', '--tensor', file]);
  expect([h.length, g.length]).toEqual([rows, columns]);
  const { u, sigma, v } = leadingSingularTriple(weight.map(Math.abs), rows, columns);
  let [worst, error, total] = [0, 0, 0];
  weight.forEach((w, at) => {
    const [i, j] = [Math.floor(at / columns), at % columns];
    const want = sigma * (u[i] as number) * (v[j] as number);
    worst = Math.max(worst, Math.abs((h[i] as number) * (g[j] as number) - want) / want);
    error += (Math.abs(w) - want) ** 2;
    total += w ** 2;
  });
  expect(worst).toBeLessThan(1e-4);
  expect(rel_error).toBeCloseTo(Math.sqrt(error / total), 6);

  const missing = await onebit(['svid', '--tensor', join(folder, 'nowhere.npy'), '--json']);
  expect(missing.code).toBe(1);
  expect(missing.stderr).toContain('nowhere.npy');
});

it('onebit quantize, with and without the native kernels, then inspect', async () => {
  const teacher = writeRandomCheckpoint(join(folder, 'teacher'), {
    layout: 'full',
    dtype: 'F16',
    seed: 4,
  }).path;
  const [native, portable] = [join(folder, 'native'), join(folder, 'portable')];
  const run = await onebit([
    'quantize',
    '--model',
    teacher,
    '--output',
    native,
    '--progress',
    'json',
    '--json',
  ]);
  expect(run.code).toBe(0);
  const lines = run.stdout.trim().split('\n');
  const report = JSON.parse(lines.pop() ?? '') as { layers: { name: string; relativeError: number }[] };
  const progress = lines.map((line) => progressSchema.parse(JSON.parse(line.replace(/^progress /, ''))));
  expect(progress.at(-1)).toMatchObject({ done: progress.length, total: progress.length });
  await onebitJson(['quantize', '--model', teacher, '--output', portable, '--progress', 'none'], {
    ONEBIT_NATIVE: 'off',
  });
  const [one, other] = [readPlainTensors(native), readPlainTensors(portable)];
  expect([...other.keys()].sort()).toEqual([...one.keys()].sort());
  for (const [name, { values }] of one) {
    const twin = other.get(name)?.values ?? new Float64Array();
    // g and h may round to neighbouring halves; all else is equal.
    const tolerance = /weight_scale|input_factor/.test(name) ? 2 ** -10 : 0;
    const off = values.map((x, i) => Math.abs(x - (twin[i] ?? NaN)) - tolerance * Math.abs(x));
    expect(Math.max(...off), name).toBeLessThanOrEqual(0);
  }

  const state = { ONEBIT_STATE: join(folder, 'state') };
  const { layers } = inspectLayersResultSchema.parse(
    await onebitJson(['inspect', '--model', native, '--teacher', teacher], state),
  );
  expect(layers.map(({ name }) => name)).toEqual(report.layers.map(({ name }) => name));
  layers.forEach((layer, i) => {
    expect(layer.teacher?.signAgreement).toBe(1);
    // The report is of g and h before they are rounded to f16.
    expect(layer.teacher?.relativeError).toBeCloseTo(report.layers[i]?.relativeError ?? NaN, 4);
  });
  const csv = (await onebit(['inspect', '--model', native, '--teacher', teacher, '--csv'], state)).stdout;
  expect(csv).toBe(layersCsv({ layers }));
  const [{ name }] = layers as [(typeof layers)[0]];
  const single = ['inspect', '--model', native, '--teacher', teacher, '--matrix', name, '--spectrum', '3'];
  const matrix = inspectMatrixResultSchema.parse(await onebitJson(single));
  expect(matrix.statistics).toEqual(layers[0]);
  expect((matrix.spectrum?.[0] ?? 0) ** 2).toBeCloseTo(layers[0]?.teacher?.energyShare ?? NaN, 6);
  expect((await onebit(single)).stdout).toMatch(/σ3/);
  expect((await onebit([...single, '--csv'])).stdout).toBe(matrixCsv(matrix));
  expect((await onebit(['inspect', '--model', native, '--spectrum', '3'])).stderr).toContain('--matrix');
  const table = (await onebit(['inspect', '--model', native], state)).stdout.trimEnd().split('\n');
  expect(table).toHaveLength(layers.length + 1);
});

it.each<Record<string, string>>([
  { ONEBIT_CPU: 'avx2' },
  { ONEBIT_CPU: 'portable' },
  { ONEBIT_NATIVE: 'off' },
])('onebit inspect gives the same with %o', async (env) => {
  const at = (name: string, layout: 'full' | 'bitllama-training', seed: number) =>
    writeRandomCheckpoint(join(folder, `${name}-${Object.values(env).join()}`), { layout, seed }).path;
  const [model, teacher] = [at('latent', 'bitllama-training', 2), at('original', 'full', 3)];
  const args = ['inspect', '--model', model, '--teacher', teacher, '--other', model, '--no-cache'];
  const numbers = async (variables: Record<string, string>) => {
    const { layers } = inspectLayersResultSchema.parse(await onebitJson(args, variables));
    return layersCsv({ layers }).split(/[,\n]/);
  };
  const [best, other] = [await numbers({}), await numbers(env)];
  expect(other).toHaveLength(best.length);
  best.forEach((cell, i) => {
    const [a, b] = [Number(cell), Number(other[i])];
    if (Number.isNaN(a)) expect(other[i]).toBe(cell);
    else expect(Math.abs(a - b)).toBeLessThanOrEqual(1e-6 * Math.max(1, Math.abs(a)));
  });
});

it('onebit quantize, told to stop, leaves nothing and says so; its memory does not grow with the model', async () => {
  const home = join(folder, 'large');
  const model = join(home, 'teacher');
  const output = join(home, 'student');
  // 222 MB in f16; the largest matrix is the embedding, 98 MB in f32.
  await writeShape(model, '100m', 'full');

  // The signal comes with the first line of progress, sent by the process itself: on a busy machine one
  // sent from here could come too late.
  const interrupt =
    'const { stdout } = process, write = stdout.write.bind(stdout);' +
    'stdout.write = (...all) => { process.kill(process.pid, "SIGINT"); stdout.write = write; return write(...all); };';
  const stopped = await onebit(['quantize', '--model', model, '--output', output, '--progress', 'json'], {
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(interrupt)}`,
  });
  expect(stopped.stderr).toContain('Cancelled');
  expect(stopped.code).toBe(130);
  expect(await readdir(home)).toEqual(['teacher']);

  type Report = { peakRssBytes: number; bytes: number; sourceBytes: number };
  const report = await onebitJson<Report>([
    'quantize',
    '--model',
    model,
    '--output',
    output,
    '--progress',
    'none',
  ]);
  const largest = 32000 * 768 * 4;
  expect(report.peakRssBytes).toBeLessThan(2 * largest + 300e6);
  const onebitJsonFile = await readFile(join(output, 'onebit.json'), 'utf8');
  expect((JSON.parse(onebitJsonFile) as { layers: unknown[] }).layers).toHaveLength(12 * 7);
});

it('onebit bench measures prefill and decode', async () => {
  const model = writeRandomCheckpoint(join(folder, 'bench'), { layout: 'onebit' }).path;
  type Speeds = { prefill: { tokens: number; tokensPerSecond: number }; decode: { tokensPerSecond: number } };
  const flags = ['--prefill', '16', '--decode', '4', '--repeats', '1', '--threads', '1'];
  const speeds = await onebitJson<Speeds>(['bench', '--model', model, ...flags]);
  expect(speeds.prefill.tokens).toBe(16);
  expect(speeds.prefill.tokensPerSecond).toBeGreaterThan(0);
  expect(speeds.decode.tokensPerSecond).toBeGreaterThan(0);
});
