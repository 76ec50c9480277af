import { OneBitError } from '../../protocol/error.ts';
import type { Checkpoint, Dtype, TensorInfo } from '../checkpoint.ts';
import { dtypeBytes, isDtype } from '../dtype.ts';
import { parseHfConfig } from '../hf-config.ts';
import { matchLlamaTensors } from '../llama-tensors.ts';
import type { Projection } from '../model-config.ts';
import type { TensorFiles } from '../tensor-files.ts';
import { dequantisers } from './dequantise.ts';
import { GgufCheckpoint, type GgufPart } from './gguf-checkpoint.ts';
import { readGgufHeader, type GgufHeader, type GgufTensor, type GgufValue } from './gguf-header.ts';

const projectionNames: Readonly<Record<string, Projection>> = {
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
};
const otherNames: Readonly<Record<string, string>> = {
  token_embd: 'model.embed_tokens',
  output_norm: 'model.norm',
  output: 'lm_head',
};

/**
 * Opens a GGUF file of a LLaMA, as llama.cpp writes it: F32, F16 and BF16 as they are, Q8_0, Q4_0, Q4_K and Q6_K as the f32
 * numbers that they stand for. The tokenizer is that of a file beside it (tokenizer.json), or in its metadata (`readGgufTokenizer`).
 * @throws bad-file, bad-value, missing-tensor, unsupported (another architecture, RoPE scaling, another quantisation)
 */
export async function openGguf(path: string, files: TensorFiles, signal?: AbortSignal): Promise<Checkpoint> {
  const file = await files.open(path);
  const header = await readGgufHeader(file, signal);
  const config = parseHfConfig(configOf(header, path), path);
  const heads = { 'self_attn.q_proj': config.model.heads, 'self_attn.k_proj': config.model.kvHeads };
  const parts = new Map<string, GgufPart>();
  for (const stored of header.tensors) {
    const name = huggingFaceName(stored.name, path);
    const projection = /^model\.layers\.\d+\.(self_attn\.[qk]_proj)\.(?:weight|bias)$/.exec(name)?.[1];
    const part = { stored, info: infoOf(stored, name, path) };
    const order = projection === undefined ? undefined : heads[projection as keyof typeof heads];
    if (name.endsWith('.bias') && order !== undefined) {
      throw new OneBitError(
        'unsupported',
        `${path}: biases of q and k (${stored.name}) are not read from GGUF files.`,
      );
    }
    parts.set(name, order === undefined ? part : { ...part, heads: order });
  }
  const infos = new Map([...parts].map(([name, { info }]) => [name, info]));
  const matched = matchLlamaTensors(infos, config, path);
  const used = new Map(
    [...matched.tensors.keys()].flatMap((name) => partNamed(name, matched.tensors, parts)),
  );
  return new GgufCheckpoint(path, matched.config, used, file, files);
}

/** A tied model's table may stand under the head's name. */
function partNamed(
  name: string,
  tensors: ReadonlyMap<string, TensorInfo>,
  parts: ReadonlyMap<string, GgufPart>,
): [string, GgufPart][] {
  const info = tensors.get(name);
  const part = parts.get(name) ?? parts.get('lm_head.weight');
  return info === undefined || part === undefined ? [] : [[name, { ...part, info }]];
}

function infoOf({ type, shape, offset, byteLength }: GgufTensor, name: string, file: string): TensorInfo {
  if (dequantisers.has(type.name)) {
    return {
      name,
      dtype: 'F32',
      shape,
      file,
      offset,
      byteLength: 4 * (byteLength / type.bytes) * type.weights,
    };
  }
  if (!isDtype(type.name)) {
    throw new OneBitError(
      'unsupported',
      `${file}: tensor ${name} is quantised as ${type.name}; F32, F16, BF16, ${[...dequantisers.keys()].join(', ')} can be read. Give the model in F16 or Q8_0.`,
    );
  }
  const dtype: Dtype = type.name;
  return { name, dtype, shape, file, offset, byteLength: (byteLength / type.bytes) * dtypeBytes[dtype] };
}

function huggingFaceName(name: string, path: string): string {
  const [, layer, part = '', kind] = /^(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)$/.exec(name) ?? [];
  if (layer !== undefined) {
    const block = `model.layers.${layer}.`;
    const projection = Object.hasOwn(projectionNames, part) ? projectionNames[part] : undefined;
    if (projection !== undefined) return `${block}${projection}.${kind}`;
    if (kind === 'weight' && part === 'attn_norm') return `${block}input_layernorm.weight`;
    if (kind === 'weight' && part === 'ffn_norm') return `${block}post_attention_layernorm.weight`;
  } else if (kind === 'weight' && Object.hasOwn(otherNames, part)) return `${otherNames[part]}.weight`;
  throw new OneBitError(
    'unsupported',
    `${path}: tensor ${name.slice(0, 100)} does not belong to a plain LLaMA (rope_freqs is that of scaled RoPE, which is not supported).`,
  );
}

/** What config.json would say. */
function configOf({ metadata, tensors }: GgufHeader, path: string): Record<string, unknown> {
  const architecture = metadata.get('general.architecture');
  if (architecture !== 'llama') {
    throw new OneBitError(
      'unsupported',
      `${path}: general.architecture is ${JSON.stringify(architecture ?? null).slice(0, 60)}; this version reads llama.`,
    );
  }
  const of = (key: string): GgufValue | undefined => metadata.get(`llama.${key}`);
  const heads = of('attention.head_count');
  const width = of('embedding_length');
  const headDim =
    of('attention.key_length') ??
    (typeof heads === 'number' && typeof width === 'number' ? width / heads : undefined);
  const turned = of('rope.dimension_count');
  if (turned !== undefined && turned !== headDim) {
    throw new OneBitError(
      'unsupported',
      `${path}: RoPE turns ${String(turned)} of ${String(headDim)} elements of a head; only all of them are supported.`,
    );
  }
  const scaling = of('rope.scaling.type');
  if (scaling !== undefined && scaling !== 'none') {
    throw new OneBitError(
      'unsupported',
      `${path}: RoPE scaling "${String(scaling).slice(0, 40)}" is not supported yet; only plain RoPE is.`,
    );
  }
  const embedding =
    tensors.find(({ name }) => name === 'token_embd.weight') ??
    tensors.find(({ name }) => name === 'output.weight');
  const id = (name: string) => metadata.get(`tokenizer.ggml.${name}_token_id`);
  return {
    model_type: 'llama',
    hidden_size: width,
    intermediate_size: of('feed_forward_length'),
    num_hidden_layers: of('block_count'),
    num_attention_heads: heads,
    num_key_value_heads: of('attention.head_count_kv'),
    head_dim: headDim,
    vocab_size: embedding?.shape[0] ?? of('vocab_size'),
    max_position_embeddings: of('context_length'),
    rms_norm_eps: round(of('attention.layer_norm_rms_epsilon')),
    rope_theta: round(of('rope.freq_base')),
    tie_word_embeddings: !tensors.some(({ name }) => name === 'output.weight'),
    bos_token_id: id('bos'),
    eos_token_id: id('eos'),
  };
}

/** An f32 as the short number that it was written for: 1e-5, not 0.000009999999747378752. */
function round(value: GgufValue | undefined): GgufValue | undefined {
  return typeof value === 'number' ? Number(value.toPrecision(7)) : value;
}
