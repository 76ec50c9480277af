import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../../server/checkpoint/open-checkpoint.ts';
import { hfConfigJson } from '../../../server/checkpoint/hf-config-json.ts';
import { unpackSigns } from '../../../server/checkpoint/sign-packing.ts';
import {
  writeRandomCheckpoint,
  type RandomCheckpoint,
  type RandomCheckpointOptions,
} from '../../reference/random-checkpoint.ts';
import { sharedPath } from '../../reference/shared-path.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'onebit-open-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const layouts: [string, RandomCheckpointOptions, string][] = [
  ['F32', { layout: 'full', dtype: 'F32' }, 'full'],
  ['F16', { layout: 'full', dtype: 'F16' }, 'full'],
  ['BF16', { layout: 'full', dtype: 'BF16' }, 'full'],
  ['tied', { layout: 'full', tied: true }, 'full'],
  ['tied under the head', { layout: 'full', tied: 'lm_head' }, 'full'],
  ['grouped-query with head_dim', { layout: 'full', heads: 4, kvHeads: 2, headDim: 24 }, 'full'],
  ['biases', { layout: 'full', attentionBias: true, mlpBias: true }, 'full'],
  ['shards', { layout: 'full', shards: 3, dtype: 'F16' }, 'full'],
  ['bitllama training', { layout: 'bitllama-training', kvHeads: 2 }, 'onebit-training'],
  ['bitllama training, bias', { layout: 'bitllama-training', attentionBias: true }, 'onebit-training'],
  ['bitllama inference', { layout: 'bitllama-inference', kvHeads: 2 }, 'onebit'],
  ['bitllama inference, bias', { layout: 'bitllama-inference', attentionBias: true }, 'onebit'],
  ['llama2.c', { layout: 'llama2c', kvHeads: 2, tied: true }, 'full'],
  ['llama2.c, head of its own', { layout: 'llama2c' }, 'full'],
  ['ours', { layout: 'onebit', tied: true, kvHeads: 1 }, 'onebit'],
];

describe('openCheckpoint', () => {
  it.each(layouts)('reads every tensor of a checkpoint: %s', async (name, options, kind) => {
    const made = writeRandomCheckpoint(join(folder, name), options);
    const checkpoint = await openCheckpoint(made.path);
    try {
      expect(checkpoint.kind).toBe(kind);
      expectConfig(checkpoint.config, made);
      expect([...checkpoint.tensors.keys()].sort()).toEqual([...made.tensors.keys()].sort());
      for (const [tensor, { values }] of made.tensors) {
        const isPacked = kind === 'onebit' && tensor.endsWith('_proj.weight');
        const read = isPacked
          ? unpackSigns(await checkpoint.readBytes(tensor))
          : await checkpoint.readFloats(tensor);
        expect(Buffer.from(read.buffer).equals(Buffer.from(Float32Array.from(values).buffer)), tensor).toBe(
          true,
        );
      }
    } finally {
      await checkpoint.close();
    }
  });

  it('opens one .safetensors file beside its config.json', async () => {
    const made = writeRandomCheckpoint(join(folder, 'file'), { layout: 'full' });
    const checkpoint = await openCheckpoint(join(made.path, 'model.safetensors'));
    expect(checkpoint.tensors.size).toBe(made.tensors.size);
    await checkpoint.close();
  });

  it('stops when the signal has fired', async () => {
    const made = writeRandomCheckpoint(join(folder, 'aborted'), { layout: 'full' });
    await expect(openCheckpoint(made.path, AbortSignal.abort())).rejects.toMatchObject({ code: 'cancelled' });
    const checkpoint = await openCheckpoint(made.path);
    await expect(checkpoint.readFloats('model.norm.weight', AbortSignal.abort())).rejects.toMatchObject({
      code: 'cancelled',
    });
    await expect(checkpoint.readBytes('model.nothing')).rejects.toMatchObject({ code: 'missing-tensor' });
    await checkpoint.close();
  });
});

describe('config.json', () => {
  const open = async (name: string, options: Partial<RandomCheckpointOptions>) => {
    const made = writeRandomCheckpoint(join(folder, `config ${name}`), {
      layout: 'full',
      layers: 1,
      ...options,
    });
    const checkpoint = await openCheckpoint(made.path);
    await checkpoint.close();
    return checkpoint.config;
  };

  it.each<[string, Partial<RandomCheckpointOptions>, object]>([
    ['several EOS', { eosTokenId: [2, 5] }, { eosTokenIds: [2, 5], bosTokenId: 1 }],
    ['no EOS, no BOS', { eosTokenId: null, bosTokenId: null }, { eosTokenIds: [], bosTokenId: undefined }],
    [
      "RoPE's base as newer files have it",
      { config: { rope_theta: undefined, rope_parameters: { rope_type: 'default', rope_theta: 1e6 } } },
      { ropeTheta: 1e6 },
    ],
    ['no base', { config: { rope_theta: undefined, rope_scaling: null } }, { ropeTheta: 10000 }],
    [
      'no tie said, one embedding',
      { tied: true, config: { tie_word_embeddings: undefined } },
      { tieEmbeddings: true },
    ],
    ['no tie said, two embeddings', { config: { tie_word_embeddings: undefined } }, { tieEmbeddings: false }],
    [
      'no bias said, bias there',
      { attentionBias: true, config: { attention_bias: undefined } },
      { attentionBias: true },
    ],
    ['no model_type, but the class', { config: { model_type: undefined } }, { architecture: 'llama' }],
    [
      'null where absent',
      { config: { head_dim: null, num_key_value_heads: null } },
      { headDim: 16, kvHeads: 4 },
    ],
  ])('%s', async (name, options, expected) => {
    expect(await open(name, options)).toMatchObject(expected);
  });

  it('that we write is read back as it was', async () => {
    const made = writeRandomCheckpoint(join(folder, 'round trip'), {
      layout: 'onebit',
      kvHeads: 2,
      headDim: 24,
      tied: true,
      attentionBias: true,
      mlpBias: true,
      ropeTheta: 5e5,
      eosTokenId: [2, 3],
    });
    const checkpoint = await openCheckpoint(made.path);
    await checkpoint.close();
    writeFileSync(join(made.path, 'config.json'), JSON.stringify(hfConfigJson(checkpoint.config, 'onebit')));
    const again = await openCheckpoint(made.path);
    await again.close();
    expect(again.config).toEqual(checkpoint.config);
  });
});

describe('large and partial reads', () => {
  it('reads any range of a tensor, in llama2.c too', async () => {
    for (const layout of ['full', 'llama2c'] as const) {
      const made = writeRandomCheckpoint(join(folder, `ranges ${layout}`), { layout });
      const checkpoint = await openCheckpoint(made.path);
      const name = 'model.layers.1.self_attn.q_proj.weight';
      const whole = await checkpoint.readBytes(name);
      const part = new Uint8Array(1000);
      await checkpoint.readInto(name, part, 513);
      expect(Buffer.from(part).equals(whole.subarray(513, 1513))).toBe(true);
      await expect(checkpoint.readInto(name, part, whole.length - 999)).rejects.toThrow('past its end');
      await checkpoint.close();
    }
  });

  it('reads beyond 4 GiB without reading what lies before', async () => {
    const path = join(folder, 'sparse');
    const made = writeRandomCheckpoint(path, { layout: 'full', layers: 1, tied: true, hiddenSize: 128 });
    const file = readFileSync(join(path, 'model.safetensors'));
    const start = 8 + Number(file.readBigUInt64LE());
    const header = JSON.parse(file.toString('utf8', 8, start)) as Record<
      string,
      { shape: number[]; data_offsets: [number, number] }
    >;
    // The embedding, which comes first, grows to 5 GiB of zeros that take no space on the disk.
    const rows = (5 * 2 ** 30) / (4 * made.hiddenSize);
    const [, oldEnd] = header['model.embed_tokens.weight']?.data_offsets ?? [0, 0];
    const grown = 5 * 2 ** 30 - oldEnd;
    for (const [name, entry] of Object.entries(header)) {
      if (name === '__metadata__') continue;
      if (name === 'model.embed_tokens.weight') entry.shape = [rows, made.hiddenSize];
      else entry.data_offsets[0] += grown;
      entry.data_offsets[1] += grown;
    }
    const json = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.length));
    const handle = openSync(join(path, 'model.safetensors'), 'w');
    writeSync(handle, Buffer.concat([length, json]));
    ftruncateSync(handle, 8 + json.length + 5 * 2 ** 30);
    writeSync(handle, file, start + oldEnd, file.length - start - oldEnd, 8 + json.length + 5 * 2 ** 30);
    closeSync(handle);
    const config = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8')) as object;
    writeFileSync(join(path, 'config.json'), JSON.stringify({ ...config, vocab_size: rows }));
    const checkpoint = await openCheckpoint(path);
    const norm = await checkpoint.readFloats('model.norm.weight');
    expect([...norm]).toEqual([...(made.tensors.get('model.norm.weight')?.values ?? [])]);
    const end = new Uint8Array(16).fill(1);
    await checkpoint.readInto('model.embed_tokens.weight', end, 5 * 2 ** 30 - 16);
    expect([...end]).toEqual(new Array(16).fill(0));
    await checkpoint.close();
  });
});

describe('real checkpoints', () => {
  const models: [string, object, number][] = [
    [
      'tinystories-656k',
      { tieEmbeddings: true, kvHeads: 4, headDim: 16, rmsNormEps: 1e-6, eosTokenIds: [2] },
      20,
    ],
    ['code-teacher', { tieEmbeddings: true, headDim: 32, bosTokenId: undefined, eosTokenIds: [4089] }, 56],
    ['stories260K', { tieEmbeddings: true, hiddenSize: 64, kvHeads: 4, vocabSize: 512, headDim: 8 }, 47],
  ];
  for (const [name, config, tensors] of models) {
    it(`opens ${name}`, async (context) => {
      const checkpoint = await openCheckpoint(sharedPath(context, 'models', name));
      expect(checkpoint.config).toMatchObject(config);
      expect(checkpoint.tensors.size).toBe(tensors);
      const norm = await checkpoint.readFloats('model.norm.weight');
      expect(norm.every((value) => value > 0 && value < 100)).toBe(true);
      await checkpoint.close();
    });
  }
});

function expectConfig(config: object, made: RandomCheckpoint): void {
  expect(config).toMatchObject({
    hiddenSize: made.hiddenSize,
    intermediateSize: made.intermediateSize,
    layers: made.layers,
    heads: made.heads,
    kvHeads: made.kvHeads,
    headDim: made.headDim,
    vocabSize: made.vocabSize,
    maxPositions: made.maxPositions,
    ropeTheta: made.ropeTheta,
    rmsNormEps: made.rmsNormEps,
    tieEmbeddings: made.tied,
    attentionBias: made.attentionBias,
    mlpBias: made.mlpBias,
  });
}
