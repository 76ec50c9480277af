import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../../server/checkpoint/open-checkpoint.ts';
import { openEngine } from '../../../server/engine/open-engine.ts';
import { writeRandomCheckpoint, type RandomCheckpointOptions } from '../../reference/random-checkpoint.ts';
import { uniform } from '../../reference/random.ts';
import { llamaFields, llamaTensors, writeGguf } from '../../reference/write-gguf.ts';
import { global, statePickle, writeTorch } from '../../reference/write-torch.ts';

const folder = mkdtempSync(join(tmpdir(), 'onebit-formats-'));
afterAll(() => rmSync(folder, { recursive: true }));
let count = 0;
const place = () => {
  const path = join(folder, String(count++));
  mkdirSync(path);
  return path;
};

/** Grouped heads wider than hidden / heads: every way in which rows can be taken for others. */
const options: RandomCheckpointOptions = {
  layout: 'full',
  dtype: 'F32',
  hiddenSize: 64,
  intermediateSize: 96,
  heads: 4,
  kvHeads: 2,
  headDim: 24,
  layers: 2,
  vocabSize: 64,
};
const f32 = (values: Float32Array) => ({ type: 0, bytes: Buffer.from(values.slice().buffer) });

async function expectSame(path: string, original: string, tolerance = 0): Promise<void> {
  const [ours, theirs] = [await openCheckpoint(path), await openCheckpoint(original)];
  expect({ ...ours.config, bosTokenId: 0, eosTokenIds: [] }).toEqual({
    ...theirs.config,
    bosTokenId: 0,
    eosTokenIds: [],
  });
  expect([...ours.tensors.keys()].sort()).toEqual([...theirs.tensors.keys()].sort());
  for (const name of theirs.tensors.keys()) {
    const [actual, expected] = [await ours.readFloats(name), await theirs.readFloats(name)];
    const worst = expected.reduce(
      (most, value, i) => Math.max(most, Math.abs(value - (actual[i] ?? NaN))),
      0,
    );
    expect(worst, name).toBeLessThanOrEqual(tolerance);
    // In pieces that end within rows, as a stream reads them.
    const info = ours.tensors.get(name);
    const bytes = new Uint8Array((info?.byteLength ?? 0) - 7);
    for (let at = 0; at < bytes.length; at += 100) {
      await ours.readInto(name, bytes.subarray(at, Math.min(at + 100, bytes.length)), at + 7);
    }
    expect(Buffer.compare(bytes, (await ours.readBytes(name)).subarray(7)), name).toBe(0);
  }
  const tokens = [3, 9, 27, 1, 5];
  const logits = await Promise.all(
    [ours, theirs].map(async (checkpoint) => {
      const engine = await openEngine(checkpoint, { exact: true });
      const [output] = await engine.forward([{ sequence: engine.open(), tokens, logits: 'all' }]);
      await engine.dispose();
      return [...(output ?? [])];
    }),
  );
  if (tolerance === 0) expect(logits[0]).toEqual(logits[1]);
  await ours.close();
  await theirs.close();
}

describe('a GGUF file', () => {
  it.each([{}, { tied: true }])('is the model that it was converted from: %j', async (more) => {
    const model = writeRandomCheckpoint(place(), { ...options, ...more });
    const path = join(place(), 'model.gguf');
    writeGguf(path, llamaFields(model), llamaTensors(model, f32));
    await expectSame(path, model.path);
    await expectSame(join(path, '..'), model.path);
  });

  it.each(['F16', 'BF16'] as const)('has matrices of %s', async (dtype) => {
    const model = writeRandomCheckpoint(place(), { ...options, dtype });
    const path = join(place(), 'model.gguf');
    const half = (values: Float32Array) => {
      // What is stored was rounded to the type: its bits are exact.
      const bytes = Buffer.alloc(2 * values.length);
      values.forEach((value, i) =>
        bytes.writeUInt16LE(dtype === 'BF16' ? bf16Bits(value) : halfBits(value), 2 * i),
      );
      return { type: dtype === 'BF16' ? 30 : 1, bytes };
    };
    writeGguf(
      path,
      llamaFields(model),
      llamaTensors(model, (values, isMatrix) => (isMatrix ? half(values) : f32(values))),
    );
    await expectSame(path, model.path);
  });

  it.each([
    ['Q8_0', 8, 32, 34, 127],
    ['Q4_0', 2, 32, 18, 8],
  ] as const)('of %s has weights to half a step', async (name, type, weights, bytes, steps) => {
    const model = writeRandomCheckpoint(place(), { ...options, headDim: 16 });
    const path = join(place(), 'model.gguf');
    let coarsest = 0;
    const blocks = (values: Float32Array) => {
      const result = Buffer.alloc((values.length / weights) * bytes);
      for (let b = 0; b < values.length / weights; b++) {
        const block = values.subarray(b * weights, (b + 1) * weights);
        const scale = fp16(Math.max(...block.map(Math.abs)) / (steps === 8 ? 7 : steps));
        coarsest = Math.max(coarsest, scale);
        result.writeUInt16LE(halfBits(scale), b * bytes);
        block.forEach((value, i) => {
          const q = Math.round(value / scale);
          if (name === 'Q8_0') result.writeInt8(Math.max(-128, Math.min(127, q)), b * bytes + 2 + i);
          else
            result[b * bytes + 2 + (i % 16)] =
              (result[b * bytes + 2 + (i % 16)] ?? 0) | ((q + 8) << (i < 16 ? 0 : 4));
        });
      }
      return { type, bytes: result };
    };
    writeGguf(
      path,
      llamaFields(model),
      llamaTensors(model, (values, isMatrix) => (isMatrix ? blocks(values) : f32(values))),
    );
    await expectSame(path, model.path, coarsest * 0.52);
  });

  it.each(['Q4_K', 'Q6_K'] as const)('of %s has the weights that its blocks say', async (name) => {
    const model = writeRandomCheckpoint(place(), {
      ...options,
      hiddenSize: 256,
      intermediateSize: 256,
      headDim: 64,
      layers: 1,
    });
    const path = join(place(), 'model.gguf');
    const random = uniform(4);
    const whole = (below: number) => Math.floor(random() * below);
    // Made of random parts; what they stand for replaces the model's own weights.
    const encode = (values: Float32Array) => {
      const blocks: Buffer[] = [];
      for (let b = 0; b < values.length; b += 256) {
        const block = name === 'Q4_K' ? q4KBlock(whole) : q6KBlock(whole);
        values.set(block.values, b);
        blocks.push(block.bytes);
      }
      return { type: name === 'Q4_K' ? 12 : 14, bytes: Buffer.concat(blocks) };
    };
    const written = new Map<string, Float32Array>();
    const tensors = llamaTensors(model, (values, isMatrix) => {
      const result = isMatrix ? encode(values) : f32(values);
      written.set(String(written.size), values);
      return result;
    });
    writeGguf(path, llamaFields(model), tensors);
    const checkpoint = await openCheckpoint(path);
    const values = await checkpoint.readFloats('model.layers.0.mlp.down_proj.weight');
    const index = tensors.findIndex((tensor) => tensor.name === 'blk.0.ffn_down.weight');
    expect([...values]).toEqual([...(written.get(String(index)) ?? [])]);
    await checkpoint.close();
  });

  it('of another kind is refused with its name and the reason', async () => {
    const model = writeRandomCheckpoint(place(), options);
    const fields = llamaFields(model);
    const tensors = llamaTensors(model, f32);
    const cases: [Parameters<typeof writeGguf>[1], Parameters<typeof writeGguf>[2], RegExp][] = [
      [[...fields.slice(1), ['general.architecture', 'text', 'qwen3']], tensors, /architecture is "qwen3"/],
      [[...fields, ['llama.rope.scaling.type', 'text', 'yarn']], tensors, /RoPE scaling "yarn"/],
      [
        fields,
        [...tensors, { name: 'rope_freqs.weight', dimensions: [12], type: 0, bytes: Buffer.alloc(48) }],
        /rope_freqs/,
      ],
      [fields, tensors.map((tensor, i) => (i === 1 ? { ...tensor, type: 99 } : tensor)), /type 99/],
      [fields, tensors.slice(1), /missing/],
    ];
    for (const [some, of, message] of cases) {
      const path = join(place(), 'other.gguf');
      writeGguf(path, some, of);
      await expect(openCheckpoint(path)).rejects.toThrow(message);
      await expect(openCheckpoint(path)).rejects.toThrow(path);
    }
  });
});

describe('a PyTorch file', () => {
  const write = (path: string, model: ReturnType<typeof writeRandomCheckpoint>, more: object = {}) =>
    writeTorch(
      path,
      [...model.tensors].map(([name, { shape, values }]) => ({
        name,
        shape,
        values: Float32Array.from(values),
        ...more,
      })),
    );

  it('is the model that was saved, as a file, in its folder, and in shards', async () => {
    const model = writeRandomCheckpoint(place(), options);
    const path = place();
    copyFileSync(join(model.path, 'config.json'), join(path, 'config.json'));
    write(join(path, 'pytorch_model.bin'), model);
    await expectSame(path, model.path);
    await expectSame(join(path, 'pytorch_model.bin'), model.path);

    const shards = place();
    copyFileSync(join(model.path, 'config.json'), join(shards, 'config.json'));
    const all = [...model.tensors].map(([name, { shape, values }]) => ({
      name,
      shape,
      values: Float32Array.from(values),
    }));
    const map: Record<string, string> = {};
    for (const part of [0, 1]) {
      const file = `pytorch_model-0000${part + 1}-of-00002.bin`;
      const some = all.filter((_, i) => i % 2 === part);
      writeTorch(join(shards, file), some);
      for (const { name } of some) map[name] = file;
    }
    writeFileSync(join(shards, 'pytorch_model.bin.index.json'), JSON.stringify({ weight_map: map }));
    await expectSame(shards, model.path);
  });

  it('shares the data of tied weights', async () => {
    const model = writeRandomCheckpoint(place(), { ...options, tied: true });
    const path = place();
    copyFileSync(join(model.path, 'config.json'), join(path, 'config.json'));
    const tensors = [...model.tensors].map(([name, { shape, values }]) => ({
      name,
      shape,
      values: Float32Array.from(values),
    }));
    const embedding = tensors.findIndex(({ name }) => name === 'model.embed_tokens.weight');
    const tied = tensors[embedding];
    if (tied === undefined) throw new Error('no embedding');
    writeTorch(join(path, 'pytorch_model.bin'), [
      ...tensors,
      { ...tied, name: 'lm_head.weight', storage: String(embedding) },
    ]);
    await expectSame(path, model.path);
  });

  it('that would run something, or is a view, is refused', async () => {
    const model = writeRandomCheckpoint(place(), options);
    const path = place();
    copyFileSync(join(model.path, 'config.json'), join(path, 'config.json'));
    const file = join(path, 'pytorch_model.bin');
    const one = [{ name: 'a', shape: [2, 2], values: new Float32Array(4) }];
    const pickles: [Buffer, RegExp][] = [
      [
        Buffer.concat([
          Buffer.from([0x80, 2]),
          global('os', 'system'),
          Buffer.from('(X\x02\x00\x00\x00ls'),
          Buffer.from('tR.'),
        ]),
        /the name os\.system, .*is not run/,
      ],
      [
        Buffer.concat([Buffer.from([0x80, 2]), global('torch', 'load'), Buffer.from('.')]),
        /the name torch\.load/,
      ],
      [Buffer.from('\x80\x02}.', 'latin1'), /no state dict/],
      [Buffer.from('\x80\x02u.', 'latin1'), /a mark is missing/],
      [
        statePickle([{ name: 'a', shape: [2, 2], values: new Float32Array(4), strides: [1, 2] }]),
        /not contiguous/,
      ],
      [
        statePickle([{ name: 'a', shape: [2, 200], values: new Float32Array(4) }]),
        /more elements than its data/,
      ],
      [statePickle([{ name: 'a', shape: [2, 2], values: new Float32Array(4), storage: '../9' }]), /no data/],
    ];
    for (const [pickle, message] of pickles) {
      writeTorch(file, one, pickle);
      await expect(openCheckpoint(path)).rejects.toThrow(message);
      await expect(openCheckpoint(path)).rejects.toThrow(file);
    }
    writeFileSync(file, Buffer.from('\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.'.padEnd(40), 'latin1'));
    await expect(openCheckpoint(path)).rejects.toThrow(/before version 1\.6/);
  });
});

function fp16(value: number): number {
  const bits = halfBits(value);
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  return (
    (bits & 0x8000 ? -1 : 1) *
    (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15))
  );
}

/** Round to nearest by trying: slow and plain. */
function halfBits(value: number): number {
  const sign = value < 0 ? 0x8000 : 0;
  const size = Math.abs(value);
  const exponent = Math.max(-14, Math.floor(Math.log2(size || 2 ** -30)));
  const fraction = Math.round(size / 2 ** (exponent - 10));
  return exponent === -14 && fraction < 1024
    ? sign | fraction
    : sign | (((exponent + 15) << 10) + (fraction - 1024));
}
function bf16Bits(value: number): number {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes.readUInt16LE(2);
}

/** d s q − dmin m: 8 groups of 32, each with a 6-bit scale and minimum. */
function q4KBlock(whole: (below: number) => number): { bytes: Buffer; values: Float32Array } {
  const bytes = Buffer.alloc(144);
  const [d, dmin] = [fp16((1 + whole(100)) / 5000), fp16((1 + whole(100)) / 9000)];
  bytes.writeUInt16LE(halfBits(d), 0);
  bytes.writeUInt16LE(halfBits(dmin), 2);
  const s = Array.from({ length: 8 }, () => whole(64));
  const m = Array.from({ length: 8 }, () => whole(64));
  for (let i = 0; i < 4; i++) {
    bytes[4 + i] = (s[i] ?? 0) | (((s[i + 4] ?? 0) >> 4) << 6);
    bytes[8 + i] = (m[i] ?? 0) | (((m[i + 4] ?? 0) >> 4) << 6);
    bytes[12 + i] = ((s[i + 4] ?? 0) & 15) | (((m[i + 4] ?? 0) & 15) << 4);
  }
  const q = Array.from({ length: 256 }, () => whole(16));
  for (let pair = 0; pair < 4; pair++) {
    for (let i = 0; i < 32; i++)
      bytes[16 + pair * 32 + i] = (q[pair * 64 + i] ?? 0) | ((q[pair * 64 + 32 + i] ?? 0) << 4);
  }
  const values = Float32Array.from(q, (each, i) => d * (s[i >> 5] ?? 0) * each - dmin * (m[i >> 5] ?? 0));
  return { bytes, values };
}

/** d s (q − 32): 16 groups of 16, each with a signed scale. */
function q6KBlock(whole: (below: number) => number): { bytes: Buffer; values: Float32Array } {
  const bytes = Buffer.alloc(210);
  const d = fp16((1 + whole(100)) / 50_000);
  bytes.writeUInt16LE(halfBits(d), 208);
  const s = Array.from({ length: 16 }, () => whole(256) - 128);
  s.forEach((scale, i) => bytes.writeInt8(scale, 192 + i));
  const q = Array.from({ length: 256 }, () => whole(64));
  for (let half = 0; half < 2; half++) {
    for (let i = 0; i < 32; i++) {
      const [a = 0, b = 0, c = 0, e = 0] = [0, 32, 64, 96].map((run) => q[half * 128 + run + i]);
      bytes[half * 64 + i] = (a & 15) | ((c & 15) << 4);
      bytes[half * 64 + 32 + i] = (b & 15) | ((e & 15) << 4);
      bytes[128 + half * 32 + i] = (a >> 4) | ((b >> 4) << 2) | ((c >> 4) << 4) | ((e >> 4) << 6);
    }
  }
  const values = Float32Array.from(q, (each, i) => d * (s[i >> 4] ?? 0) * (each - 32));
  return { bytes, values };
}
