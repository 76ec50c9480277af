import { randomBytes } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import { shapes, type ShapeName } from './model-shape.ts';

/** Type numbers of ggml.h, value kinds of the GGUF specification. */
const F32 = 0;
const F16 = 1;

/** Quantisations of the linears: ggml's number, llama_ftype, weights and bytes of a block, where its fp16 scale stands. */
const quantisations = {
  // 128 weights: scale and 16 bytes of signs.
  Q1_0: { type: 41, fileType: 40, weights: 128, bytes: 18, scaleAt: 0 },
  // 256 weights: 64 bytes of two bits each, scale. Two bits may say 3, which is as fast as any.
  TQ2_0: { type: 35, fileType: 37, weights: 256, bytes: 66, scaleAt: 64 },
  // 32 weights: scale and 16 bytes of four bits each.
  Q4_0: { type: 2, fileType: 2, weights: 32, bytes: 18, scaleAt: 0 },
} as const;
export type Quantisation = keyof typeof quantisations;

const kinds = { u32: 4, i32: 5, f32: 6, string: 8, array: 9 } as const;
const alignment = 32;
const vocabSize = 32000;

interface GgufTensor {
  name: string;
  /** As GGUF counts: the inner dimension first. */
  dimensions: number[];
  type: number;
}

/**
 * Writes a LLaMA of a bench shape in one of llama.cpp's quantisations with random weights; embedding and head in f16, as
 * in a OneBit checkpoint. For speed only: the text is noise.
 */
export async function writeGgufShape(
  path: string,
  shape: ShapeName,
  quantisation: Quantisation,
): Promise<void> {
  const { type, fileType } = quantisations[quantisation];
  const { hiddenSize, intermediateSize, layers, heads, kvHeads, headDim } = shapes[shape];
  const tensors: GgufTensor[] = [];
  const add = (name: string, type: number, ...dimensions: number[]) =>
    tensors.push({ name: `${name}.weight`, type, dimensions });
  add('token_embd', F16, hiddenSize, vocabSize);
  for (let i = 0; i < layers; i++) {
    add(`blk.${i}.attn_norm`, F32, hiddenSize);
    add(`blk.${i}.attn_q`, type, hiddenSize, heads * headDim);
    add(`blk.${i}.attn_k`, type, hiddenSize, kvHeads * headDim);
    add(`blk.${i}.attn_v`, type, hiddenSize, kvHeads * headDim);
    add(`blk.${i}.attn_output`, type, heads * headDim, hiddenSize);
    add(`blk.${i}.ffn_norm`, F32, hiddenSize);
    add(`blk.${i}.ffn_gate`, type, hiddenSize, intermediateSize);
    add(`blk.${i}.ffn_up`, type, hiddenSize, intermediateSize);
    add(`blk.${i}.ffn_down`, type, intermediateSize, hiddenSize);
  }
  add('output_norm', F32, hiddenSize);
  add('output', F16, hiddenSize, vocabSize);

  const values: [string, Buffer][] = [
    ['general.architecture', text('llama')],
    ['general.name', text(`random ${shape}`)],
    ['general.file_type', u32(fileType)],
    ['llama.context_length', u32(4096)],
    ['llama.embedding_length', u32(hiddenSize)],
    ['llama.block_count', u32(layers)],
    ['llama.feed_forward_length', u32(intermediateSize)],
    ['llama.attention.head_count', u32(heads)],
    ['llama.attention.head_count_kv', u32(kvHeads)],
    ['llama.attention.layer_norm_rms_epsilon', f32(1e-5)],
    ['llama.rope.dimension_count', u32(headDim)],
    ['llama.rope.freq_base', f32(10000)],
    ['llama.vocab_size', u32(vocabSize)],
    ...vocabulary(),
  ];
  const header: Buffer[] = [Buffer.from('GGUF'), raw32(3), raw64(tensors.length), raw64(values.length)];
  for (const [key, value] of values) header.push(rawText(key), value);
  let offset = 0;
  for (const tensor of tensors) {
    const { name, dimensions, type } = tensor;
    header.push(
      rawText(name),
      raw32(dimensions.length),
      ...dimensions.map(raw64),
      raw32(type),
      raw64(offset),
    );
    offset += padded(byteLength(tensor));
  }

  const file = await open(path, 'w');
  try {
    await writeAll(file, pad(Buffer.concat(header)));
    for (const tensor of tensors) await writeTensor(file, tensor);
  } finally {
    await file.close();
  }
}

function byteLength({ dimensions, type }: GgufTensor): number {
  const count = dimensions.reduce((a, b) => a * b, 1);
  const quantised = quantisationOf(type);
  if (quantised !== undefined) return (count / quantised.weights) * quantised.bytes;
  return type === F16 ? 2 * count : 4 * count;
}

function quantisationOf(number: number): (typeof quantisations)[Quantisation] | undefined {
  return Object.values(quantisations).find(({ type }) => type === number);
}

/** Random contents, repeated in blocks: speed does not depend on which signs they are. */
async function writeTensor(file: FileHandle, tensor: GgufTensor): Promise<void> {
  const length = byteLength(tensor);
  const block = blockOf(tensor.type);
  for (let done = 0; done < length; done += block.length) {
    await writeAll(file, block.subarray(0, Math.min(block.length, length - done)));
  }
  await writeAll(file, Buffer.alloc(padded(length) - length));
}

const blocks = new Map<number, Buffer>();

function blockOf(type: number): Buffer {
  let block = blocks.get(type);
  if (block !== undefined) return block;
  const quantised = quantisationOf(type);
  block = randomBytes((quantised?.bytes ?? 16) << 18);
  const scale = 0x251f; // fp16 0.02
  if (quantised !== undefined) {
    for (let at = quantised.scaleAt; at < block.length; at += quantised.bytes) block.writeUInt16LE(scale, at);
  } else if (type === F16) {
    // Sign and fraction stay random, the exponent becomes that of 0.016 … 0.031.
    for (let at = 0; at < block.length; at += 2) {
      block.writeUInt16LE((block.readUInt16LE(at) & 0x83ff) | 0x2400, at);
    }
  } else {
    for (let at = 0; at < block.length; at += 4) block.writeFloatLE(1, at);
  }
  blocks.set(type, block);
  return block;
}

/** A SentencePiece vocabulary of the right size: special tokens, bytes, and made-up words. */
function vocabulary(): [string, Buffer][] {
  const tokens = ['<unk>', '<s>', '</s>'];
  for (let byte = 0; byte < 256; byte++)
    tokens.push(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
  while (tokens.length < vocabSize) tokens.push(`\u2581t${tokens.length}`);
  // Kinds: 1 normal, 2 unknown, 3 control, 6 byte.
  const kind = (i: number) => (i === 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : 1);
  return [
    ['tokenizer.ggml.model', text('llama')],
    ['tokenizer.ggml.tokens', array(kinds.string, tokens.map(rawText))],
    [
      'tokenizer.ggml.scores',
      array(
        kinds.f32,
        tokens.map((_, i) => rawFloat(-i)),
      ),
    ],
    [
      'tokenizer.ggml.token_type',
      array(
        kinds.i32,
        tokens.map((_, i) => raw32(kind(i))),
      ),
    ],
    ['tokenizer.ggml.bos_token_id', u32(1)],
    ['tokenizer.ggml.eos_token_id', u32(2)],
  ];
}

function raw32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
function raw64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
function rawFloat(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}
function rawText(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([raw64(bytes.length), bytes]);
}
const u32 = (value: number) => Buffer.concat([raw32(kinds.u32), raw32(value)]);
const f32 = (value: number) => Buffer.concat([raw32(kinds.f32), rawFloat(value)]);
const text = (value: string) => Buffer.concat([raw32(kinds.string), rawText(value)]);
const array = (kind: number, items: Buffer[]) =>
  Buffer.concat([raw32(kinds.array), raw32(kind), raw64(items.length), ...items]);

const padded = (length: number) => Math.ceil(length / alignment) * alignment;
const pad = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(padded(bytes.length) - bytes.length)]);

async function writeAll(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += (await file.write(bytes, done, bytes.length - done)).bytesWritten;
  }
}
