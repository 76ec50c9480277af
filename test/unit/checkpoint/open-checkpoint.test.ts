import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../../server/checkpoint/open-checkpoint.ts';
import { unpackSigns } from '../../../server/checkpoint/sign-packing.ts';
import {
  writeRandomCheckpoint,
  type RandomCheckpoint,
  type RandomCheckpointOptions,
} from '../../reference/random-checkpoint.ts';

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
