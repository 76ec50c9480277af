import type { ModelConfig } from '../../checkpoint/model-config.ts';
import type { BufferPart } from '../../gpu/buffer-ledger.ts';
import { bindingLimit } from '../../gpu/device.ts';
import { OneBitError } from '../../protocol/error.ts';
import { mostTop } from '../engine.ts';
import type { HeldBytes } from '../memory-report.ts';

/** Rows that go through the layers together in prefill; a multiple of the tile of 32. */
export const maxRows = 128;
/** Rows that decode, or whose logits are made, at once. */
export const maxDecodeRows = 8;
/** Most likely tokens that the GPU names for a row. */
export const maxTop = mostTop;
/** Tokens of a block in the search for the most likely ones. */
export const topBlockTokens = 1024;

/** Positions beyond which decoding rows' attention is cut into parts, which pays for its second dispatch. */
export const splitPositions = 256;

/** The parts of attention over a whole context: at most 32, each of so many positions. */
export function attentionChunks(contextLength: number): { positions: number; most: number } {
  const positions = 64 * Math.ceil(contextLength / (32 * 64));
  return { positions, most: Math.ceil(contextLength / positions) };
}

export interface GpuEngineShape {
  config: ModelConfig;
  contextLength: number;
  sequences: number;
  /** f32 in the KV cache; fp16 otherwise. */
  exact: boolean;
  /** Positions from which the attention of decoding rows is cut into parts; default splitPositions. */
  splitFrom?: number;
  /** Bytes of keys, or of values, that a layer has in one buffer at most; default bindingLimit. */
  bankBytes?: number;
}

/** Whether a context is long enough that decoding rows' attention is ever cut into parts. */
export function splitsAttention({ contextLength, splitFrom = splitPositions }: GpuEngineShape): boolean {
  return contextLength > splitFrom;
}

export interface PlannedBuffer {
  name: string;
  part: BufferPart;
  bytes: number;
  /** Of scratch: bytes that belong to one row of a step. */
  rowBytes?: number;
  usage: 'weights' | 'scratch' | 'cache' | 'input' | 'output' | 'readback';
}

/** The linears that share one product: their projections' outputs stand one after the other. */
export const linearGroups = ['qkv', 'o', 'gateUp', 'down'] as const;
export type LinearGroup = (typeof linearGroups)[number];

/** Inputs and each member's outputs of a group of linears. */
export function groupShape(config: ModelConfig, group: LinearGroup): { inSize: number; outs: number[] } {
  const { hiddenSize, intermediateSize, heads, kvHeads, headDim } = config;
  const kvSize = kvHeads * headDim;
  switch (group) {
    case 'qkv':
      return { inSize: hiddenSize, outs: [heads * headDim, kvSize, kvSize] };
    case 'o':
      return { inSize: heads * headDim, outs: [hiddenSize] };
    case 'gateUp':
      return { inSize: hiddenSize, outs: [intermediateSize, intermediateSize] };
    case 'down':
      return { inSize: intermediateSize, outs: [hiddenSize] };
  }
}

export function hasBias(config: ModelConfig, group: LinearGroup): boolean {
  return group === 'qkv' || group === 'o' ? config.attentionBias : config.mlpBias;
}

/** Words of 32 signs in a row of `inSize` inputs; the last one is padded. */
export function signWords(inSize: number): number {
  return Math.ceil(inSize / 32);
}

/** A run of rows of the lm_head, or of sequences of the KV cache, that one binding holds. */
export interface Piece {
  first: number;
  count: number;
}

/** Cuts `count` things of `bytesEach` into as few, nearly equal pieces as bindings allow. */
function pieces(count: number, bytesEach: number, limit: number): Piece[] {
  const most = Math.floor(limit / bytesEach);
  const each = Math.ceil(count / Math.ceil(count / most));
  const result: Piece[] = [];
  for (let first = 0; first < count; first += each)
    result.push({ first, count: Math.min(each, count - first) });
  return result;
}

export function headPieces(config: ModelConfig, limit = bindingLimit): Piece[] {
  return pieces(config.vocabSize, 2 * config.hiddenSize, limit);
}

/** Sequences of each bank of the KV cache: one buffer of keys and one of values a layer. */
export function cacheBanks(shape: GpuEngineShape, limit = bindingLimit): Piece[] {
  const bytes = shape.contextLength * positionBytes(shape);
  if (bytes > limit) {
    const most = Math.floor(limit / positionBytes(shape));
    throw new OneBitError(
      'unsupported',
      `A context of ${shape.contextLength} is too long for the GPU engine with this model: a layer's keys have ` +
        `to fit ${limit / 2 ** 20} MiB. Use --context ${most} or less, or --device cpu.`,
    );
  }
  return pieces(shape.sequences, bytes, Math.min(limit, shape.bankBytes ?? limit));
}

/** Bytes of one position's keys (or values) of one layer. */
export function positionBytes({ config, exact }: GpuEngineShape): number {
  return config.kvHeads * config.headDim * (exact ? 4 : 2);
}

/** Every buffer that the engine makes at load, with its exact size: there are no others. */
export function planBuffers(shape: GpuEngineShape, limit = bindingLimit): PlannedBuffer[] {
  const { config, contextLength } = shape;
  const { hiddenSize, intermediateSize, heads, kvHeads, headDim, layers, vocabSize } = config;
  const buffers: PlannedBuffer[] = [];
  const weights = (name: string, part: BufferPart, bytes: number) =>
    buffers.push({ name, part, bytes, usage: 'weights' });
  const banks = cacheBanks(shape, limit);
  for (let layer = 0; layer < layers; layer++) {
    const block = `layers.${layer}.`;
    for (const group of linearGroups) {
      const { inSize, outs } = groupShape(config, group);
      const out = outs.reduce((a, b) => a + b, 0);
      weights(`${block}${group}.signs`, 'signs', 4 * out * signWords(inSize));
      weights(`${block}${group}.g`, 'values', 4 * outs.length * inSize);
      weights(`${block}${group}.h`, 'values', 4 * out);
      if (hasBias(config, group)) weights(`${block}${group}.bias`, 'norms', 4 * out);
    }
    weights(`${block}inputNorm`, 'norms', 4 * hiddenSize);
    weights(`${block}postNorm`, 'norms', 4 * hiddenSize);
    banks.forEach(({ count }, bank) => {
      for (const kind of ['keys', 'values']) {
        const bytes = count * contextLength * positionBytes(shape);
        buffers.push({ name: `${block}${kind}.${bank}`, part: 'kv-cache', bytes, usage: 'cache' });
      }
    });
  }
  weights('norm', 'norms', 4 * hiddenSize);
  headPieces(config, limit).forEach(({ count }, piece) =>
    weights(`head.${piece}`, 'head', 2 * count * hiddenSize),
  );
  weights('turns', 'scratch', 4 * contextLength * headDim);

  const scratch = (
    name: string,
    rowBytes: number,
    usage: PlannedBuffer['usage'] = 'scratch',
    rows = maxRows,
  ) => buffers.push({ name, part: 'scratch', bytes: rows * rowBytes, rowBytes, usage });
  scratch('embedded', 2 * hiddenSize, 'input');
  scratch('rows', 16, 'input');
  scratch('wanted', 4, 'input', maxDecodeRows);
  scratch('hidden', 4 * hiddenSize);
  scratch('scaledHidden', 3 * 128 * signWords(hiddenSize));
  scratch('scaledAttended', 128 * signWords(heads * headDim));
  scratch('scaledMlp', 128 * signWords(intermediateSize));
  scratch('queries', 4 * heads * headDim);
  scratch('raw', 4 * Math.max((heads + 2 * kvHeads) * headDim, hiddenSize, 2 * intermediateSize));
  if (splitsAttention(shape)) {
    const { most } = attentionChunks(contextLength);
    scratch('attendedParts', heads * most * (8 + 4 * headDim), 'scratch', maxDecodeRows);
  }
  scratch('normed', 4 * hiddenSize);
  scratch('logits', 4 * vocabSize, 'output', maxDecodeRows);
  const blocks = Math.ceil(vocabSize / topBlockTokens);
  scratch('candidates', 8 * blocks * maxTop, 'scratch', maxDecodeRows);
  scratch('topBlocks', 8 * blocks, 'scratch', maxDecodeRows);
  scratch('top', topRowBytes, 'output', maxDecodeRows);
  scratch('readTop', topRowBytes, 'readback', maxDecodeRows);
  scratch('readLogits', 4 * vocabSize, 'readback', maxDecodeRows);
  for (const { name, bytes } of buffers) {
    if (bytes > limit && name !== 'readLogits') {
      throw new OneBitError(
        'unsupported',
        `The GPU engine cannot hold ${name}: ${Math.ceil(bytes / 2 ** 20)} MiB do not fit one binding of ` +
          `${limit / 2 ** 20} MiB. Use --device cpu.`,
      );
    }
  }
  return buffers;
}

/** Bytes that come back for a row: the logarithm of the sum of exp(logit), then id and logit of each token. */
export const topRowBytes = 8 * (1 + maxTop);

/** GPU memory of a model by part, before anything is loaded: exactly the buffers that the load makes. */
export function planGpuMemory(
  config: ModelConfig,
  contextLength: number,
  sequences: number,
  exact = false,
): { parts: HeldBytes; totalBytes: number } {
  const buffers = planBuffers({ config, contextLength, sequences, exact });
  const parts: HeldBytes = {
    signs: 0,
    values: 0,
    weights: 0,
    embedding: 0,
    head: 0,
    norms: 0,
    'kv-cache': 0,
    scratch: 0,
  };
  for (const { part, bytes } of buffers) if (part !== 'staging') parts[part] += 4 * Math.ceil(bytes / 4);
  return { parts, totalBytes: Object.values(parts).reduce((a, b) => a + b, 0) };
}
