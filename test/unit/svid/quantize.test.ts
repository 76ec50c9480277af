import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openCheckpoint } from '../../../server/checkpoint/open-checkpoint.ts';
import { quantize } from '../../../server/svid/quantize.ts';
import type { Progress } from '../../../server/protocol/progress.ts';
import { readPlainTensors } from '../../reference/plain-safetensors.ts';
import { writeRandomCheckpoint, type RandomCheckpointOptions } from '../../reference/random-checkpoint.ts';
import { leadingSingularTriple } from '../../reference/singular-pair.ts';

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'onebit-quantize-'))));
afterEach(() => rm(folder, { recursive: true }));

const small: RandomCheckpointOptions = { layout: 'full', hiddenSize: 32, intermediateSize: 48, seed: 3 };
const source = (options: Partial<RandomCheckpointOptions> = {}) =>
  writeRandomCheckpoint(join(folder, 'teacher'), { ...small, ...options });

it.each([
  { dtype: 'F32' as const },
  { dtype: 'F16' as const, shards: 3, kvHeads: 2 },
  { dtype: 'BF16' as const, attentionBias: true, tied: true },
  { dtype: 'F32' as const, mlpBias: true, tied: 'lm_head' as const },
  { layout: 'llama2c' as const, kvHeads: 2 },
])('packs the signs and the singular pair of every matrix, and keeps the rest: %o', async (options) => {
  const teacher = source(options);
  const output = join(folder, 'student');
  const report = await quantize(teacher.path, output);
  const written = readPlainTensors(output);
  const layers = new Map(report.layers.map((layer) => [layer.name, layer.relativeError]));
  expect(layers.size).toBe(14);

  for (const [name, { shape, values }] of teacher.tensors) {
    const stored = written.get(name);
    const base = name.replace(/\.weight$/, '');
    if (!layers.has(base)) {
      expect(stored?.dtype).toBe('F16');
      expect(stored?.shape).toEqual(shape);
      // Half a step of f16: 2⁻¹¹ of the value, or 2⁻²⁵ among subnormals.
      const off = values.map(
        (want, i) => Math.abs((stored?.values[i] ?? 0) - want) / Math.max(Math.abs(want) / 2048, 2 ** -25),
      );
      expect(Math.max(...off)).toBeLessThanOrEqual(1);
      continue;
    }
    const [out, inner] = shape as [number, number];
    expect(stored?.dtype).toBe('U8');
    expect(stored?.shape).toEqual([out, inner / 8]);
    const { u, sigma, v } = leadingSingularTriple(values.map(Math.abs), out, inner);
    const h = written.get(`${base}.weight_scale`)?.values ?? new Float64Array();
    const g = written.get(`${base}.input_factor`)?.values ?? new Float64Array();
    let [error, total, worst, wrongSigns] = [0, 0, 0, 0];
    for (let at = 0; at < values.length; at++) {
      const [i, j] = [Math.floor(at / inner), at % inner];
      const bit = ((stored?.values[at >> 3] ?? 0) >> (at & 7)) & 1;
      if (bit !== ((values[at] as number) < 0 ? 1 : 0)) wrongSigns++;
      const want = sigma * (u[i] as number) * (v[j] as number);
      worst = Math.max(worst, Math.abs((h[i] as number) * (g[j] as number) - want) / want);
      error += (Math.abs(values[at] as number) - want) ** 2;
      total += (values[at] as number) ** 2;
    }
    expect(wrongSigns).toBe(0);
    // g and h are rounded to f16 each: 2⁻¹¹ twice.
    expect(worst).toBeLessThan(1.1e-3);
    expect(layers.get(base)).toBeCloseTo(Math.sqrt(error / total), 5);
  }
  expect([...written.keys()].sort()).toEqual(
    [
      ...teacher.tensors.keys(),
      ...[...layers.keys()].flatMap((base) => [`${base}.weight_scale`, `${base}.input_factor`]),
    ].sort(),
  );

  const opened = await openCheckpoint(output);
  expect(opened.kind).toBe('onebit');
  expect(opened.config.tieEmbeddings).toBe(teacher.tied);
  await opened.close();
});

it('writes how the model was made, and the tokenizer; reports progress to the end', async () => {
  const { path } = source();
  await writeFile(join(path, 'tokenizer.json'), '{"made":"up"}');
  const seen: Progress[] = [];
  const output = join(folder, 'student');
  const report = await quantize(path, output, { onProgress: (progress) => seen.push(progress) });
  expect(await readFile(join(output, 'tokenizer.json'), 'utf8')).toBe('{"made":"up"}');
  const made = JSON.parse(await readFile(join(output, 'onebit.json'), 'utf8')) as Record<string, unknown>;
  expect(made).toMatchObject({ tool: 'onebit', method: 'svid', source: 'teacher', layers: report.layers });
  expect(seen.map(({ done }) => done)).toEqual(Array.from(seen, (_, i) => i + 1));
  expect(seen.at(-1)).toMatchObject({
    phase: 'SVID',
    unit: 'tensors',
    done: seen.length,
    total: seen.length,
  });
  expect(report.bytes).toBeLessThan(report.sourceBytes / 2);
});

/** Everything in the test's folder but the source. */
async function leftovers(): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name !== 'teacher').sort();
}

it('leaves nothing behind when it is cancelled in the middle', async () => {
  const { path } = source({ layers: 6 });
  const controller = new AbortController();
  const cancelled = quantize(path, join(folder, 'student'), {
    signal: controller.signal,
    onProgress: ({ done }) => {
      if (done === 9) controller.abort();
    },
  });
  await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
  expect(await leftovers()).toEqual([]);
});

it('refuses a NaN, names the tensor, and leaves nothing behind', async () => {
  const { path } = source({ layers: 3 });
  const name = 'model.layers.2.mlp.gate_proj.weight';
  await damage(join(path, 'model.safetensors'), name, 4 * (5 * 32 + 7));
  await expect(quantize(path, join(folder, 'student'))).rejects.toMatchObject({
    code: 'bad-value',
    message: expect.stringMatching(/model\.layers\.2\.mlp\.gate_proj\.weight .*row 5, column 7/),
  });
  expect(await leftovers()).toEqual([]);
});

it('refuses a NaN in what is only copied, too', async () => {
  const { path } = source();
  await damage(join(path, 'model.safetensors'), 'model.embed_tokens.weight', 4 * 41);
  await expect(quantize(path, join(folder, 'student'))).rejects.toMatchObject({
    code: 'bad-value',
    message: expect.stringMatching(/model\.embed_tokens\.weight: element 41/),
  });
});

/** Puts an f32 NaN at a byte of a tensor. */
async function damage(file: string, tensor: string, offset: number): Promise<void> {
  const bytes = await readFile(file);
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes)) as Record<
    string,
    { data_offsets: [number, number] }
  >;
  const start = header[tensor]?.data_offsets[0] ?? 0;
  bytes.writeFloatLE(Number.NaN, 8 + headerBytes + start + offset);
  await writeFile(file, bytes);
}

it('refuses an `in` that 8 does not divide before it writes anything', async () => {
  const { path } = source({ intermediateSize: 44 });
  await expect(quantize(path, join(folder, 'student'))).rejects.toMatchObject({
    code: 'bad-value',
    message: expect.stringMatching(/model\.layers\.0\.mlp\.down_proj\.weight.*44/),
  });
  expect(await leftovers()).toEqual([]);
});

it.each(['onebit', 'bitllama-training', 'bitllama-inference'] as const)(
  'refuses a 1-bit source: %s',
  async (layout) => {
    const { path } = source({ layout });
    await expect(quantize(path, join(folder, 'student'))).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('1-bit model already'),
    });
  },
);

it('does not touch a folder that is in use, and replaces a model only when told to', async () => {
  const { path } = source();
  const output = join(folder, 'student');
  await mkdir(output);
  await writeFile(join(output, 'thesis.txt'), 'years of work');
  await expect(quantize(path, output)).rejects.toMatchObject({ code: 'bad-request' });
  await expect(quantize(path, output, { replace: true })).rejects.toMatchObject({ code: 'bad-request' });
  expect(await readdir(output)).toEqual(['thesis.txt']);

  await rm(join(output, 'thesis.txt'));
  await quantize(path, output);
  await expect(quantize(path, output)).rejects.toMatchObject({ code: 'bad-request' });
  await quantize(path, output, { replace: true });
  await expect(quantize(path, path, { replace: true })).rejects.toMatchObject({ code: 'bad-request' });
});

it('names a source that is not there', async () => {
  const path = join(folder, 'nowhere');
  await expect(quantize(path, join(folder, 'student'))).rejects.toMatchObject({
    code: 'not-found',
    message: expect.stringContaining(path),
  });
});
