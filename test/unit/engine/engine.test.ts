import { mkdtempSync, rmSync, truncateSync, writeFileSync, readFileSync, cpSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { openCheckpoint } from '../../../server/checkpoint/open-checkpoint.ts';
import type { Engine, EngineOptions, Sequence } from '../../../server/engine/engine.ts';
import { openEngine } from '../../../server/engine/open-engine.ts';
import { nativeAddon, nativeFailure } from '../../../server/native/addon.ts';
import type { Progress } from '../../../server/protocol/progress.ts';
import { LlamaReference } from '../../reference/llama-forward.ts';
import { uniform } from '../../reference/random.ts';
import { writeRandomCheckpoint } from '../../reference/random-checkpoint.ts';

const paths: { path: 'native' | 'portable'; why: string }[] = [
  { path: 'portable', why: 'TypeScript' },
  ...(nativeAddon() === undefined ? [] : [{ path: 'native' as const, why: 'addon' }]),
];
if (nativeAddon() === undefined) console.warn(`The native engine is not tested here: ${nativeFailure()}`);

const vocab = 97;
const random = uniform(4);
const text = (length: number) => Array.from({ length }, () => Math.floor(random() * vocab));

let root: string;
let folder: string;
const open: Engine[] = [];
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'onebit-engine-'));
  folder = join(root, 'model');
  writeRandomCheckpoint(folder, { layout: 'onebit', vocabSize: vocab, kvHeads: 2, maxPositions: 700 });
});
afterEach(async () => {
  for (const engine of open.splice(0)) await engine.dispose();
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function start(options: EngineOptions, model = folder): Promise<Engine> {
  const engine = await openEngine(model, options);
  open.push(engine);
  return engine;
}

async function last(engine: Engine, sequence: Sequence, tokens: number[]): Promise<number[]> {
  const [logits] = await engine.forward([{ sequence, tokens, logits: 'last' }]);
  expect(logits).toHaveLength(vocab);
  return Array.from(logits ?? []);
}

describe.each(paths)('$path engine ($why)', ({ path }) => {
  test('a cut-back sequence gives what a fresh one gives', async () => {
    const engine = await start({ path });
    const [prompt, first, second] = [text(9), text(7), text(5)];
    const used = engine.open();
    await last(engine, used, [...prompt, ...first]);
    used.truncate(prompt.length);
    expect(used.length).toBe(prompt.length);
    const fresh = engine.open();
    expect(await last(engine, used, second)).toEqual(await last(engine, fresh, [...prompt, ...second]));
    expect(used.length).toBe(prompt.length + second.length);
  });

  test.each([false, true])(
    'positions copied from another sequence are its own (exact: %s)',
    async (exact) => {
      const engine = await start({ path, exact });
      const [prompt, more, next] = [text(37), text(20), text(3)];
      const [from, expected] = [engine.open(), engine.open()];
      await last(engine, from, [...prompt, ...more]);
      await last(engine, expected, prompt);
      const whole = engine.open();
      await engine.copyPositions?.(from, whole, prompt.length);
      // From the middle of what lies together on, and up to it.
      const rest = engine.open();
      await last(engine, rest, prompt.slice(0, 5));
      await engine.copyPositions?.(from, rest, prompt.length);
      expect([whole.length, rest.length, from.length]).toEqual([37, 37, 57]);
      const logits = await last(engine, expected, next);
      expect(await last(engine, whole, next)).toEqual(logits);
      expect(await last(engine, rest, next)).toEqual(logits);
      await expect(engine.copyPositions?.(whole, from, 58)).rejects.toMatchObject({ code: 'internal' });
      // What is copied is no longer the source's.
      from.dispose();
      expect(await last(engine, whole, next)).toEqual(await last(engine, rest, next));
    },
  );

  test('sequences that run together get what each gets alone', async () => {
    const engine = await start({ path });
    const texts = [text(1), text(130), text(17), text(2)];
    const alone = [];
    for (const tokens of texts) {
      const sequence = engine.open();
      const [logits] = await engine.forward([{ sequence, tokens, logits: 'all' }]);
      alone.push(logits);
      sequence.dispose();
    }
    const together = await engine.forward(
      texts.map((tokens) => ({ sequence: engine.open(), tokens, logits: 'all' as const })),
    );
    expect(together).toEqual(alone);
  });

  test('a prompt of several blocks equals the float64 forward', async () => {
    const engine = await start({ path, exact: true });
    const tokens = text(300);
    const expected = new LlamaReference(folder).logits(tokens).at(-1) ?? new Float64Array();
    const got = await last(engine, engine.open(), tokens);
    const scale = Math.sqrt(expected.reduce((sum, x) => sum + x * x, 0) / vocab);
    expect(Math.max(...got.map((x, i) => Math.abs(x - (expected[i] ?? NaN))))).toBeLessThan(3e-5 * scale);
  });

  test('gives no logits where none are wanted', async () => {
    const engine = await start({ path });
    const [a, b] = [engine.open(), engine.open()];
    const [none, one] = await engine.forward([
      { sequence: a, tokens: [1, 2, 3], logits: 'none' },
      { sequence: b, tokens: [4], logits: 'last' },
    ]);
    expect([none?.length, one?.length]).toEqual([0, vocab]);
    expect([a.length, b.length]).toEqual([3, 1]);
  });

  test('an abort ends the pass and leaves the sequence as it was', async () => {
    const engine = await start({ path });
    const sequence = engine.open();
    const prompt = text(5);
    await last(engine, sequence, prompt);
    const abort = new AbortController();
    const tokens = text(600);
    const running = engine.forward([{ sequence, tokens, logits: 'all' }], abort.signal);
    setImmediate(() => abort.abort());
    await expect(running).rejects.toMatchObject({ code: 'cancelled' });
    expect(sequence.length).toBe(prompt.length);
    const fresh = engine.open();
    const next = text(3);
    expect(await last(engine, sequence, next)).toEqual(await last(engine, fresh, [...prompt, ...next]));
    await expect(
      engine.forward([{ sequence, tokens: [1], logits: 'last' }], AbortSignal.abort()),
    ).rejects.toMatchObject({ code: 'cancelled' });
  });

  test('calls that overlap run one after the other', async () => {
    const engine = await start({ path });
    const sequence = engine.open();
    const [first, second] = [text(20), text(4)];
    const results = await Promise.all([last(engine, sequence, first), last(engine, sequence, second)]);
    const fresh = engine.open();
    expect(results[1]).toEqual(await last(engine, fresh, [...first, ...second]));
  });

  test('reports its memory by part', async () => {
    const engine = await start({ path, contextLength: 256 });
    const report = engine.memory();
    const bytes = (part: string) => report.parts.find((p) => p.part === part)?.bytes ?? 0;
    const fp16 = (part: string) => report.parts.find((p) => p.part === part)?.fp16Bytes ?? 0;
    // 64 hidden, 96 inner, 32 key/value elements, 2 layers: 12 288 + 18 432 weights less 4096 for k and v.
    const weights = 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 96);
    expect(bytes('signs')).toBe(weights / 8);
    expect(fp16('signs')).toBe(2 * weights);
    expect(fp16('embedding')).toBe(2 * vocab * 64);
    expect(bytes('embedding')).toBeGreaterThanOrEqual(2 * vocab * 64);
    expect(report.fp16ModelBytes).toBe(2 * weights + 2 * 2 * vocab * 64 + 2 * 5 * 64);
    expect(report.contextLength).toBe(256);
    expect(report.kvCacheBytes).toBe(0);
    const sequence = engine.open();
    await last(engine, sequence, text(10));
    const position = 2 * 2 * 32 * (path === 'native' ? 2 : 4);
    expect(engine.memory().kvCacheBytes).toBeGreaterThanOrEqual(10 * position);
    sequence.dispose();
    expect(engine.memory().kvCacheBytes).toBe(0);
  });

  test('refuses what it cannot do and says why', async () => {
    const engine = await start({ path, contextLength: 16, sequences: 2 });
    const sequence = engine.open();
    const run = (tokens: number[], of = sequence) =>
      engine.forward([{ sequence: of, tokens, logits: 'last' }]);
    await expect(run(text(17))).rejects.toMatchObject({
      code: 'bad-request',
      message: expect.stringContaining('17 tokens do not fit the context of 16'),
    });
    await expect(run([vocab])).rejects.toMatchObject({ code: 'bad-request' });
    await expect(run([-1])).rejects.toMatchObject({ code: 'bad-request' });
    await expect(run([0.5])).rejects.toMatchObject({ code: 'bad-request' });
    await expect(run([])).rejects.toMatchObject({ code: 'bad-request' });
    await expect(
      engine.forward([
        { sequence, tokens: [1], logits: 'last' },
        { sequence, tokens: [2], logits: 'last' },
      ]),
    ).rejects.toMatchObject({ code: 'bad-request' });
    expect(sequence.length).toBe(0);
    const other = engine.open();
    expect(() => engine.open()).toThrow(/in use/);
    other.dispose();
    await expect(run([1], other)).rejects.toMatchObject({ code: 'internal' });
    await expect(openEngine(folder, { path, contextLength: 701 })).rejects.toMatchObject({
      code: 'bad-value',
    });
    await expect(openEngine(folder, { path, device: 'gpu:no such card' })).rejects.toMatchObject({
      code: 'gpu-missing',
    });
  });

  test('after dispose nothing runs', async () => {
    const engine = await start({ path });
    const sequence = engine.open();
    await engine.dispose();
    await engine.dispose();
    await expect(engine.forward([{ sequence, tokens: [1], logits: 'last' }])).rejects.toMatchObject({
      code: 'no-model',
    });
    expect(() => engine.open()).toThrow(/disposed/);
    expect(() => engine.memory()).toThrow(/disposed/);
  });

  test('names the tensor that holds a NaN', async () => {
    for (const [layout, name] of [
      ['full', 'model.layers.1.mlp.up_proj.weight'],
      ['full', 'lm_head.weight'],
      ['bitllama-training', 'model.layers.0.self_attn.k_proj.weight'],
      ['bitllama-inference', 'model.layers.1.mlp.down_proj.weight_scale'],
    ] as const) {
      const damaged = join(root, `nan-${layout}-${name}`);
      writeRandomCheckpoint(damaged, { layout });
      const checkpoint = await openCheckpoint(damaged);
      const info = checkpoint.tensors.get(name);
      await checkpoint.close();
      if (info === undefined) throw new Error(`no ${name}`);
      const bytes = readFileSync(info.file);
      bytes.writeFloatLE(NaN, info.offset + info.byteLength - 8);
      writeFileSync(info.file, bytes);
      const opening = openEngine(damaged, { path });
      await expect(opening).rejects.toMatchObject({
        code: 'bad-value',
        message: expect.stringContaining(name),
      });
    }
  });

  test('a file that shrinks after it was opened is an error, not a crash', async () => {
    const shrunk = join(root, `shrunk-${path}`);
    cpSync(folder, shrunk, { recursive: true });
    const checkpoint = await openCheckpoint(shrunk);
    truncateSync(join(shrunk, 'model.safetensors'), 4096);
    await expect(openEngine(checkpoint, { path })).rejects.toMatchObject({
      code: expect.stringMatching(/^(unreadable|bad-file)$/),
    });
    await checkpoint.close();
  });

  test('loading reports progress and can be cancelled', async () => {
    const seen: Progress[] = [];
    const engine = await openEngine(folder, { path }, { onProgress: (progress) => seen.push(progress) });
    await engine.dispose();
    expect(seen.at(0)).toMatchObject({ phase: 'load', done: 0, total: 2 });
    expect(seen.at(-1)).toMatchObject({ phase: 'load', done: 2, total: 2 });
    const abort = new AbortController();
    const loading = openEngine(folder, { path }, { signal: abort.signal, onProgress: () => abort.abort() });
    await expect(loading).rejects.toMatchObject({ code: 'cancelled' });
  });

  test('runs llama2.c checkpoints as their Hugging Face form', async () => {
    const shape = { seed: 9, heads: 4, kvHeads: 2, vocabSize: vocab, tied: true };
    const binary = writeRandomCheckpoint(join(root, `bin-${path}`), { layout: 'llama2c', ...shape });
    const twin = writeRandomCheckpoint(join(root, `hf-${path}`), { layout: 'full', ...shape });
    const tokens = text(12);
    const logits = [];
    for (const model of [binary.path, twin.path]) {
      const engine = await start({ path }, model);
      logits.push(await last(engine, engine.open(), tokens));
    }
    const [a = [], b = []] = logits;
    expect(Math.max(...a.map((x, i) => Math.abs(x - (b[i] ?? NaN))))).toBeLessThan(1e-5);
  });
});

test.skipIf(nativeAddon() === undefined)('disposing gives the memory back', async () => {
  const large = join(root, 'large');
  writeRandomCheckpoint(large, {
    layout: 'full',
    vocabSize: 3000,
    hiddenSize: 256,
    intermediateSize: 512,
    layers: 1,
  });
  const rounds = 24;
  const before = process.memoryUsage().rss;
  let size = 0;
  for (let i = 0; i < rounds; i++) {
    const engine = await openEngine(large, { path: 'native' });
    await engine.forward([{ sequence: engine.open(), tokens: [1, 2, 3], logits: 'last' }]);
    size = engine.memory().modelBytes;
    await engine.dispose();
  }
  expect(size).toBeGreaterThan(8e6);
  expect(process.memoryUsage().rss - before).toBeLessThan((rounds / 2) * size);
});
