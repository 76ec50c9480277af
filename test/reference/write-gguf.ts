import { writeFileSync } from 'node:fs';
import type { RandomCheckpoint } from './random-checkpoint.ts';

/** A tensor of a GGUF file: its dimensions innermost first, its type's number in ggml.h, its bytes. */
export interface GgufTensorBytes {
  name: string;
  dimensions: number[];
  type: number;
  bytes: Buffer;
}

export type GgufField =
  | [key: string, kind: 'u32' | 'f32', value: number]
  | [key: string, kind: 'bool', value: boolean]
  | [key: string, kind: 'text', value: string]
  | [key: string, kind: 'texts', value: readonly string[]]
  | [key: string, kind: 'floats' | 'ints', value: readonly number[]];
const kinds = { u32: 4, i32: 5, f32: 6, bool: 7, text: 8, list: 9 };

const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value: number) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const f32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
};
const text = (value: string) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);

function valueBytes([, kind, value]: GgufField): Uint8Array[] {
  switch (kind) {
    case 'u32':
      return [u32(kinds.u32), u32(value)];
    case 'f32':
      return [u32(kinds.f32), f32(value)];
    case 'bool':
      return [u32(kinds.bool), Buffer.from([Number(value)])];
    case 'text':
      return [u32(kinds.text), text(value)];
    case 'texts':
      return [u32(kinds.list), u32(kinds.text), u64(value.length), ...value.map(text)];
    case 'floats':
      return [u32(kinds.list), u32(kinds.f32), u64(value.length), ...value.map(f32)];
    case 'ints':
      return [u32(kinds.list), u32(kinds.i32), u64(value.length), ...value.map(u32)];
  }
}

/** A GGUF file, version 3, as ggml's docs/gguf.md describes it. Shares no code with server/. */
export function writeGguf(
  path: string,
  fields: readonly GgufField[],
  tensors: readonly GgufTensorBytes[],
): void {
  const header: Uint8Array[] = [Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(fields.length)];
  for (const field of fields) header.push(text(field[0]), ...valueBytes(field));
  const padded = (length: number) => Math.ceil(length / 32) * 32;
  let offset = 0;
  for (const { name, dimensions, type, bytes } of tensors) {
    header.push(text(name), u32(dimensions.length), ...dimensions.map(u64), u32(type), u64(offset));
    offset += padded(bytes.length);
  }
  const head = Buffer.concat(header);
  const parts: Uint8Array[] = [head, Buffer.alloc(padded(head.length) - head.length)];
  for (const { bytes } of tensors) parts.push(bytes, Buffer.alloc(padded(bytes.length) - bytes.length));
  writeFileSync(path, Buffer.concat(parts));
}

const names: [RegExp, string][] = [
  [/^model\.embed_tokens\./, 'token_embd.'],
  [/^model\.norm\./, 'output_norm.'],
  [/^lm_head\./, 'output.'],
  [/^model\.layers\.(\d+)\.input_layernorm\./, 'blk.$1.attn_norm.'],
  [/^model\.layers\.(\d+)\.post_attention_layernorm\./, 'blk.$1.ffn_norm.'],
  [/^model\.layers\.(\d+)\.self_attn\.o_proj\./, 'blk.$1.attn_output.'],
  [/^model\.layers\.(\d+)\.self_attn\.([qkv])_proj\./, 'blk.$1.attn_$2.'],
  [/^model\.layers\.(\d+)\.mlp\.(gate|up|down)_proj\./, 'blk.$1.ffn_$2.'],
];

/** What llama.cpp's converter says of a LLaMA. */
export function llamaFields(model: RandomCheckpoint): GgufField[] {
  return [
    ['general.architecture', 'text', 'llama'],
    ['general.name', 'text', 'random'],
    ['llama.context_length', 'u32', model.maxPositions],
    ['llama.embedding_length', 'u32', model.hiddenSize],
    ['llama.block_count', 'u32', model.layers],
    ['llama.feed_forward_length', 'u32', model.intermediateSize],
    ['llama.attention.head_count', 'u32', model.heads],
    ['llama.attention.head_count_kv', 'u32', model.kvHeads],
    ['llama.attention.key_length', 'u32', model.headDim],
    ['llama.attention.layer_norm_rms_epsilon', 'f32', model.rmsNormEps],
    ['llama.rope.freq_base', 'f32', model.ropeTheta],
    ['llama.rope.dimension_count', 'u32', model.headDim],
    ['tokenizer.ggml.tokens', 'texts', Array.from({ length: model.vocabSize }, (_, id) => `token ${id}`)],
  ];
}

/**
 * A model's tensors as llama.cpp's converter writes them: q and k with the rows of each head's two halves interleaved
 * (its `permute`), everything else as it is.
 * @param encode the type's number and the bytes of a matrix `[rows, columns]`, or of a vector
 */
export function llamaTensors(
  model: RandomCheckpoint,
  encode: (values: Float32Array, isMatrix: boolean) => { type: number; bytes: Buffer },
): GgufTensorBytes[] {
  return [...model.tensors].map(([name, { shape, values }]) => {
    const [pattern, renamed] = names.find(([candidate]) => candidate.test(name)) ?? [/^/, ''];
    const heads = name.includes('q_proj') ? model.heads : name.includes('k_proj') ? model.kvHeads : undefined;
    const ordered = heads === undefined ? Float32Array.from(values) : interleave(values, shape, heads);
    return {
      name: name.replace(pattern, renamed),
      dimensions: [...shape].reverse(),
      ...encode(ordered, shape.length > 1),
    };
  });
}

function interleave(
  values: ArrayLike<number>,
  [rows = 0, columns = 0]: number[],
  heads: number,
): Float32Array {
  const half = rows / heads / 2;
  const result = new Float32Array(rows * columns);
  for (let head = 0; head < heads; head++) {
    for (let part = 0; part < 2; part++) {
      for (let i = 0; i < half; i++) {
        const [from, to] = [head * 2 * half + part * half + i, head * 2 * half + 2 * i + part];
        for (let c = 0; c < columns; c++) result[to * columns + c] = values[from * columns + c] ?? NaN;
      }
    }
  }
  return result;
}
