import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openCheckpoint } from '../../../server/checkpoint/open-checkpoint.ts';
import { openEngine } from '../../../server/engine/open-engine.ts';
import { nativeAddon, nativeFailure } from '../../../server/native/addon.ts';
import { packageRoot } from '../../../server/package-root.ts';
import type { TopLogits } from '../../../server/engine/engine.ts';
import { editTensors } from '../../reference/edit-tensors.ts';
import type { EngineJob } from '../../reference/engine-child.ts';
import { LlamaReference } from '../../reference/llama-forward.ts';
import { uniform } from '../../reference/random.ts';
import { writeRandomCheckpoint, type RandomCheckpointOptions } from '../../reference/random-checkpoint.ts';

// Shapes that end in the middle of registers, groups of rows, words and column blocks.
const models: Record<string, RandomCheckpointOptions> = {
  'full F32, one kv head, odd vocabulary, tied as lm_head': {
    layout: 'full',
    tied: 'lm_head',
    kvHeads: 1,
    vocabSize: 131,
  },
  'full BF16 with biases': { layout: 'full', dtype: 'BF16', attentionBias: true, mlpBias: true },
  'full F16, 5 heads of 6': {
    layout: 'full',
    dtype: 'F16',
    hiddenSize: 30,
    heads: 5,
    intermediateSize: 43,
    vocabSize: 67,
  },
  'full F32, more inputs than one column block': {
    layout: 'full',
    hiddenSize: 48,
    heads: 2,
    intermediateSize: 1031,
    layers: 1,
  },
  'authors’ training kind F16 with biases': {
    layout: 'bitllama-training',
    dtype: 'F16',
    attentionBias: true,
    mlpBias: true,
    kvHeads: 2,
  },
  'authors’ training kind BF16': { layout: 'bitllama-training', dtype: 'BF16', hiddenSize: 40, heads: 2 },
  'authors’ inference kind, 72 and 104 inputs, one kv head': {
    layout: 'bitllama-inference',
    hiddenSize: 72,
    heads: 3,
    kvHeads: 1,
    intermediateSize: 104,
    vocabSize: 97,
  },
  'authors’ inference kind, outliers in g': {
    layout: 'bitllama-inference',
    hiddenSize: 320,
    intermediateSize: 640,
    layers: 1,
  },
  'ours, tied, 8 inputs': {
    layout: 'onebit',
    hiddenSize: 8,
    heads: 1,
    intermediateSize: 24,
    tied: true,
    vocabSize: 33,
  },
  'ours, several column blocks': {
    layout: 'onebit',
    hiddenSize: 1096,
    heads: 4,
    kvHeads: 2,
    headDim: 66,
    intermediateSize: 2056,
    layers: 1,
    vocabSize: 50,
  },
};
/** Models that are run with an 8-bit lm_head as well. */
const withByteHead = [
  'full F32, more inputs than one column block',
  'ours, tied, 8 inputs',
  'ours, several column blocks',
];
const rounded = (name: string) => `${name}, rounded`;
const isas = ['avx512', 'avx2', 'neon', 'portable', 'wasm'];

let folder: string;
let child: string;
/** The logits `[position, vocab]` of the float64 forward, by model. */
const expected = new Map<string, Float64Array[]>();
const tokens = new Map<string, number[]>();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'onebit-parity-'));
  // Inside the package: the addon is found from there.
  const output = join(packageRoot(), 'test', 'output');
  mkdirSync(output, { recursive: true });
  child = join(output, `engine-child-${process.pid}.mjs`);
  await build({
    entryPoints: [join(packageRoot(), 'test', 'reference', 'engine-child.ts')],
    outfile: child,
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    logLevel: 'error',
    loader: { '.wgsl': 'text' },
  });
  const random = uniform(11);
  for (const [name, options] of Object.entries(models)) {
    const checkpoint = writeRandomCheckpoint(join(folder, name), { seed: 5, ...options });
    if (name.includes('outliers')) await addOutliers(checkpoint.path);
    const ids = Array.from({ length: 23 }, () => Math.floor(random() * checkpoint.vocabSize));
    tokens.set(name, ids);
    expected.set(name, new LlamaReference(checkpoint.path).logits(ids));
    if (withByteHead.includes(name)) {
      expected.set(rounded(name), new LlamaReference(checkpoint.path, { headBits: 8 }).logits(ids));
    }
  }
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
  rmSync(child, { force: true });
});

/** Makes one in a hundred elements of every g a hundred times as large, as LLaMA's outlier channels are. */
async function addOutliers(path: string): Promise<void> {
  const checkpoint = await openCheckpoint(path);
  await checkpoint.close();
  for (const { name, file, offset, byteLength } of checkpoint.tensors.values()) {
    if (!name.endsWith('.input_factor')) continue;
    const bytes = readFileSync(file);
    for (let at = offset; at < offset + byteLength; at += 400) {
      bytes.writeFloatLE(100 * bytes.readFloatLE(at), at);
    }
    writeFileSync(file, bytes);
  }
}

/** Largest difference to the float64 logits, in units of their root mean square. */
function worstDifference(name: string, logits: Float32Array): number {
  const rows = expected.get(name) ?? [];
  let worst = 0;
  let squares = 0;
  rows.forEach((row, r) =>
    row.forEach((value, i) => {
      squares += value * value;
      const difference = Math.abs(value - (logits[r * row.length + i] ?? NaN));
      worst = difference <= worst ? worst : difference;
    }),
  );
  expect(logits.length).toBe(rows.length * (rows[0]?.length ?? 0));
  return worst / Math.sqrt(squares / logits.length);
}

function rowsOf(logits: Float32Array, vocab: number): Float32Array[] {
  return Array.from({ length: logits.length / vocab }, (_, i) => logits.subarray(i * vocab, (i + 1) * vocab));
}

/** exp of the mean negative log-likelihood of the tokens. */
function perplexity(ids: number[], rows: ArrayLike<number>[]): number {
  let sum = 0;
  for (let i = 0; i + 1 < ids.length; i++) {
    const row = Array.from(rows[i] ?? []);
    const largest = Math.max(...row);
    sum +=
      largest + Math.log(row.reduce((s, x) => s + Math.exp(x - largest), 0)) - (row[ids[i + 1] ?? 0] ?? NaN);
  }
  return Math.exp(sum / (ids.length - 1));
}

/** Runs the jobs in a process of their own; undefined if this CPU or build has not that instruction set. */
function runChild(isa: string, jobs: EngineJob[]): Float32Array | undefined {
  const jobsFile = join(folder, `${isa}.json`);
  const output = join(folder, `${isa}.f32`);
  writeFileSync(jobsFile, JSON.stringify(jobs));
  const { status, stdout, stderr } = spawnSync(process.execPath, [child, jobsFile, output], {
    env: { ...process.env, ONEBIT_CPU: isa },
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  if (stdout.trim() !== isa) return undefined;
  return new Float32Array(new Uint8Array(readFileSync(output)).buffer);
}

test.each(Object.keys(models))('TypeScript engine equals the float64 forward: %s', async (name) => {
  const engine = await openEngine(join(folder, name), { path: 'portable' });
  const [logits] = await engine.forward([
    { sequence: engine.open(), tokens: tokens.get(name) ?? [], logits: 'all' },
  ]);
  await engine.dispose();
  expect(worstDifference(name, logits ?? new Float32Array())).toBeLessThan(1e-5);
});

describe.skipIf(nativeAddon() === undefined)(`native engine (${nativeFailure() ?? 'built'})`, () => {
  test.for(isas)('%s kernels equal the float64 forward', (isa, { skip }) => {
    const names = Object.keys(models);
    // All at once and token by token, exact and default.
    const jobs: EngineJob[] = names.flatMap((name) => {
      const ids = tokens.get(name) ?? [];
      const path = join(folder, name);
      return [true, false].flatMap((exact) => [
        { path, exact, headBits: 16 as const, calls: [ids] },
        { path, exact, headBits: 16 as const, calls: ids.map((id) => [id]) },
      ]);
    });
    for (const name of withByteHead) {
      const ids = tokens.get(name) ?? [];
      const path = join(folder, name);
      jobs.push({ path, exact: true, headBits: 8, calls: [ids] });
      jobs.push({ path, exact: true, headBits: 8, calls: ids.map((id) => [id]) });
    }
    const logits = runChild(isa, jobs);
    if (logits === undefined) {
      skip(`this machine has no ${isa}`);
      return;
    }
    let at = 0;
    for (const name of names) {
      const ids = tokens.get(name) ?? [];
      const rows = expected.get(name) ?? [];
      const vocab = rows[0]?.length ?? 0;
      const take = () => logits.subarray(at, (at += ids.length * vocab));
      const [exactPrefill, exactDecode, prefill, decode] = [take(), take(), take(), take()];
      // A token's logits do not depend on what runs beside it: the same to the last bit.
      expect(
        exactDecode.findIndex((value, i) => value !== exactPrefill[i]),
        `${name}, exact`,
      ).toBe(-1);
      expect(
        decode.findIndex((value, i) => value !== prefill[i]),
        name,
      ).toBe(-1);
      expect(worstDifference(name, exactPrefill), `${name}, exact`).toBeLessThan(2e-5);
      // Default kernels round activations (and a 1-bit model's cache to fp16); full precision stays f32.
      // Look-up tables have 8 bits on AVX-512, 16 elsewhere.
      const isFull = models[name]?.layout === 'full';
      const [logitsBound, perplexityBound] = isa === 'avx512' ? [0.15, 8e-3] : [0.03, 1e-3];
      expect(worstDifference(name, prefill), `${name}, default`).toBeLessThan(isFull ? 2e-5 : logitsBound);
      const perplexities = perplexity(ids, rowsOf(prefill, vocab)) / perplexity(ids, rows);
      expect(Math.abs(perplexities - 1), `${name}, perplexity`).toBeLessThan(isFull ? 1e-5 : perplexityBound);
    }
    for (const name of withByteHead) {
      const rows = expected.get(rounded(name)) ?? [];
      const take = () => logits.subarray(at, (at += rows.length * (rows[0]?.length ?? 0)));
      const [prefill, decode] = [take(), take()];
      expect(
        decode.findIndex((value, i) => value !== prefill[i]),
        `${name}, 8-bit head`,
      ).toBe(-1);
      expect(worstDifference(rounded(name), prefill), `${name}, 8-bit head`).toBeLessThan(2e-5);
    }
    expect(at).toBe(logits.length);
  });

  test.each([1, 5, 64])(
    'the %i most likely tokens are those of the logits, of equals the lower id first',
    async (wanted) => {
      const path = join(folder, `equal rows ${wanted}`);
      writeRandomCheckpoint(path, { layout: 'onebit', vocabSize: 131, seed: 8 });
      // Every third token says what the first says.
      editTensors(path, (name, [, columns = 0], values) => {
        if (name !== 'lm_head.weight') return;
        for (let row = 3; row < 131; row += 3) values.copyWithin(row * columns, 0, columns);
      });
      const engine = await openEngine(path, { path: 'native' });
      const [one, two, three] = [engine.open(), engine.open(), engine.open()];
      const top = (): TopLogits => ({ wanted, ids: [], logits: [], logSumExp: 0 });
      const [first, second] = [top(), top()];
      const outputs = await engine.forward([
        { sequence: one, tokens: [4, 9, 2], logits: 'last', top: first },
        { sequence: two, tokens: [4, 9, 2], logits: 'last' },
        { sequence: three, tokens: [7], logits: 'last', top: second },
      ]);
      expect(outputs.map(({ length }) => length)).toEqual([0, 131, 0]);
      const logits = [...(outputs[1] ?? [])];
      const order = logits.map((_, id) => id).sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0) || a - b);
      expect(first.ids).toEqual(order.slice(0, wanted));
      expect(first.logits).toEqual(first.ids.map((id) => logits[id]));
      const sum = logits.reduce((total, logit) => total + Math.exp(logit - Math.max(...logits)), 0);
      expect(first.logSumExp).toBeCloseTo(Math.max(...logits) + Math.log(sum), 5);
      expect(second.ids).toHaveLength(wanted);
      await engine.dispose();
    },
  );
});
