import { OneBitError } from '../protocol/error.ts';
import type { Checkpoint, TensorInfo } from './checkpoint.ts';
import { FileCheckpoint } from './file-checkpoint.ts';
import { embeddingName, headName } from './llama-tensors.ts';
import { projectionShape, type ModelConfig, type Projection } from './model-config.ts';
import type { TensorFiles } from './tensor-files.ts';

const headerBytes = 28;

/** The first four bytes of other files that end in .bin. */
const laterVersion = 0x616b3432; // 'ak42': llama2.c's versions 1 and 2

/**
 * Opens a llama2.c checkpoint of version 0: seven int32 (dim, hidden dim, layers, heads, KV heads,
 * vocabulary — negative if the head is not tied —, positions), then F32 tensors, all layers of one kind
 * together (run.c, memory_map_weights). RoPE's base, the norm's eps and the special tokens are fixed.
 * @throws bad-file, bad-value, unsupported naming the file and the field
 */
export async function openLlama2c(
  path: string,
  files: TensorFiles,
  signal?: AbortSignal,
): Promise<Checkpoint> {
  const file = await files.open(path);
  if (file.size < headerBytes) {
    throw new OneBitError('bad-file', `${path} has ${file.size} bytes, too few for a llama2.c header.`);
  }
  const header = new DataView(new ArrayBuffer(headerBytes));
  await file.read(new Uint8Array(header.buffer), 0, signal);
  const magic = header.getUint32(0, true);
  if (magic === laterVersion) {
    throw new OneBitError(
      'unsupported',
      `${path} is a llama2.c file of a later version: export it as version 0, or as a Hugging Face folder.`,
    );
  }
  const { config, tied } = readHeader(header, path);
  const tensors = new Map<string, TensorInfo>();
  const interleaved = new Map<string, number>();
  let offset = headerBytes;
  const take = (name: string, shape: number[]) => {
    const byteLength = 4 * shape.reduce((a, b) => a * b, 1);
    tensors.set(name, { name, dtype: 'F32', shape, file: path, offset, byteLength });
    offset += byteLength;
  };
  const block = (layer: number, name: string) => `model.layers.${layer}.${name}.weight`;
  const each = (name: string, shape: number[]) => {
    for (let layer = 0; layer < config.layers; layer++) take(block(layer, name), shape);
  };
  const eachProjection = (name: Projection) => each(name, projectionShape(config, name));
  take(embeddingName, [config.vocabSize, config.hiddenSize]);
  each('input_layernorm', [config.hiddenSize]);
  eachProjection('self_attn.q_proj');
  eachProjection('self_attn.k_proj');
  eachProjection('self_attn.v_proj');
  eachProjection('self_attn.o_proj');
  each('post_attention_layernorm', [config.hiddenSize]);
  eachProjection('mlp.gate_proj');
  eachProjection('mlp.down_proj');
  eachProjection('mlp.up_proj');
  take('model.norm.weight', [config.hiddenSize]);
  // Two tables of RoPE angles, [positions, headDim / 2] each, which follow from the config.
  offset += 4 * config.maxPositions * config.headDim;
  if (!tied) take(headName, [config.vocabSize, config.hiddenSize]);
  if (offset !== file.size) {
    throw new OneBitError(
      'bad-file',
      `${path} has ${file.size} bytes; a llama2.c model of the shape in its header has ${offset}: it was cut short, or it is no llama2.c file .`,
    );
  }
  for (let layer = 0; layer < config.layers; layer++) {
    interleaved.set(block(layer, 'self_attn.q_proj'), config.heads);
    interleaved.set(block(layer, 'self_attn.k_proj'), config.kvHeads);
  }
  return new FileCheckpoint({ path, format: 'llama2.c', kind: 'full', config, tensors, files, interleaved });
}

function readHeader(header: DataView, path: string): { config: ModelConfig; tied: boolean } {
  const limits: [string, number][] = [
    ['dim', 1 << 17],
    ['hidden_dim', 1 << 20],
    ['n_layers', 1024],
    ['n_heads', 4096],
    ['n_kv_heads', 4096],
    ['vocab_size', 1 << 24],
    ['seq_len', 1 << 27],
  ];
  const fields = limits.map(([name, most], i) => {
    const value = header.getInt32(4 * i, true);
    const size = name === 'vocab_size' ? Math.abs(value) : value;
    if (size < 1 || size > most) {
      throw new OneBitError(
        'bad-file',
        `${path}: ${name} in its header is ${value}: it is no llama2.c model, or it is damaged.`,
      );
    }
    return size;
  });
  const [hiddenSize, intermediateSize, layers, heads, kvHeads, vocabSize, maxPositions] = fields as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const headDim = hiddenSize / heads;
  if (headDim % 2 !== 0 || heads % kvHeads !== 0) {
    throw new OneBitError(
      'bad-value',
      `${path}: dim ${hiddenSize}, n_heads ${heads} and n_kv_heads ${kvHeads} in its header do not divide: it is no llama2.c model, or it is damaged.`,
    );
  }
  const tied = header.getInt32(20, true) > 0;
  const config: ModelConfig = {
    architecture: 'llama',
    hiddenSize,
    intermediateSize,
    layers,
    heads,
    kvHeads,
    headDim,
    vocabSize,
    maxPositions,
    rmsNormEps: 1e-5,
    ropeTheta: 10000,
    tieEmbeddings: tied,
    attentionBias: false,
    mlpBias: false,
    layerNormEps: 1e-5,
    bosTokenId: 1,
    // llama2.c ends a text at BOS, which separates the texts that its models were trained on.
    eosTokenIds: [1, 2],
  };
  return { config, tied };
}
