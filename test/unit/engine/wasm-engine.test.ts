import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { openEngine } from '../../../server/engine/open-engine.ts';
import type { TopLogits } from '../../../server/engine/engine.ts';
import { wasmFolder, wasmSourceHash } from '../../../server/native/wasm/sources.mjs';
import { writeRandomCheckpoint } from '../../reference/random-checkpoint.ts';

let folder: string;
let path: string;
// Wide enough that a pass runs on several threads.
const shape = {
  layout: 'onebit',
  hiddenSize: 512,
  heads: 4,
  intermediateSize: 1024,
  vocabSize: 131,
} as const;
const prompt = Array.from({ length: 40 }, (_, i) => (i * 37) % 131);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'onebit-wasm-'));
  path = join(folder, 'model');
  writeRandomCheckpoint(path, { ...shape, seed: 9 });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('the committed WebAssembly was made of these sources (npm run build:wasm)', () => {
  expect(existsSync(join(wasmFolder, 'onebit.wasm'))).toBe(true);
  expect(readFileSync(join(wasmFolder, 'onebit.wasm.sources'), 'utf8').trim()).toBe(wasmSourceHash());
  expect(readFileSync(join(wasmFolder, 'onebit.wasm')).length).toBeLessThan(200_000);
});

test('without the addon it is chosen, with a notice that is the reason as well', async () => {
  vi.resetModules();
  vi.stubEnv('ONEBIT_NATIVE', 'off');
  const fresh = await import('../../../server/engine/open-engine.ts');
  const notices: string[] = [];
  const engine = await fresh.openEngine(path, {}, { onNotice: (message) => notices.push(message) });
  vi.unstubAllEnvs();
  const { device } = engine.memory();
  await engine.dispose();
  expect(device.path).toBe('wasm');
  expect(notices).toEqual([
    'the native kernels are switched off by ONEBIT_NATIVE=off; WebAssembly serves, more slowly',
  ]);
  expect(device.reason).toBe(notices[0]);
});

test('logits do not depend on threads or on what runs beside; tops are those of the logits', async () => {
  const logitsOf = async (threads: number) => {
    const engine = await openEngine(path, { path: 'wasm', threads });
    const [one, two, three] = [engine.open(), engine.open(), engine.open()];
    const top: TopLogits = { wanted: 5, ids: [], logits: [], logSumExp: 0 };
    const [all = new Float32Array(), none, last] = await engine.forward([
      { sequence: one, tokens: prompt, logits: 'all' },
      { sequence: two, tokens: prompt, logits: 'last', top },
      { sequence: three, tokens: prompt, logits: 'last' },
    ]);
    expect(none).toHaveLength(0);
    const expected = all.subarray(-131);
    expect(last).toEqual(expected);
    const order = [...expected.keys()].sort((a, b) => (expected[b] ?? 0) - (expected[a] ?? 0));
    expect(top.ids).toEqual(order.slice(0, 5));
    expect(top.logits).toEqual(top.ids.map((id) => expected[id]));
    // Token by token, and after a copied prefix.
    const [alone, copied] = [engine.open(), engine.open()];
    const rows: Float32Array[] = [];
    for (const token of prompt) {
      rows.push(...(await engine.forward([{ sequence: alone, tokens: [token], logits: 'last' }])));
    }
    rows.forEach((row, i) => expect(row).toEqual(all.subarray(131 * i, 131 * (i + 1))));
    await engine.copyPositions?.(one, copied, 21);
    const [rest] = await engine.forward([{ sequence: copied, tokens: prompt.slice(21), logits: 'last' }]);
    expect(rest).toEqual(expected);
    await engine.dispose();
    return all;
  };
  expect(await logitsOf(2)).toEqual(await logitsOf(1));
});

test('an abort leaves the sequence as it was; a closed engine says so', async () => {
  const engine = await openEngine(path, { path: 'wasm', sequences: 1 });
  const sequence = engine.open();
  const abort = new AbortController();
  const running = engine.forward([{ sequence, tokens: prompt, logits: 'last' }], abort.signal);
  abort.abort();
  await expect(running).rejects.toThrow('Cancelled');
  expect(sequence.length).toBe(0);
  const [logits] = await engine.forward([{ sequence, tokens: prompt, logits: 'last' }]);
  expect(logits?.every(Number.isFinite)).toBe(true);
  await engine.dispose();
  await expect(engine.forward([{ sequence, tokens: [1], logits: 'last' }])).rejects.toThrow('disposed');
});
