import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A tiny LLaMA with random weights, in every layout that the product reads. Shares no code with server/. */
export interface RandomCheckpointOptions {
  layout:
    | 'full' // LlamaForCausalLM
    | 'bitllama-training' // the authors' latent weights with weight_scale and input_factor
    | 'bitllama-inference' // the authors' int8 packed signs
    | 'onebit' // ours: U8 packed signs, F16 vectors, quantization_config
    | 'llama2c'; // llama2.c version 0 .bin (always F32, no bias, no head_dim of its own)
  /** Of all float tensors. Default F32; `onebit` is always F16. */
  dtype?: 'F32' | 'F16' | 'BF16';
  seed?: number;
  hiddenSize?: number;
  intermediateSize?: number;
  layers?: number;
  heads?: number;
  kvHeads?: number;
  headDim?: number;
  vocabSize?: number;
  maxPositions?: number;
  ropeTheta?: number;
  rmsNormEps?: number;
  /** false: lm_head of its own; true: only model.embed_tokens; 'lm_head': only lm_head.weight. Default false. */
  tied?: boolean | 'lm_head';
  attentionBias?: boolean;
  mlpBias?: boolean;
  /** More than one: shards with an index. */
  shards?: number;
  bosTokenId?: number | null;
  eosTokenId?: number | number[] | null;
  /** Fields to add to config.json or, where undefined, to take out of it. */
  config?: Record<string, unknown>;
}

export interface RandomCheckpoint {
  /** What to open: the folder, or the .bin of llama2c. */
  path: string;
  hiddenSize: number;
  intermediateSize: number;
  layers: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  vocabSize: number;
  maxPositions: number;
  ropeTheta: number;
  rmsNormEps: number;
  attentionBias: boolean;
  mlpBias: boolean;
  tied: boolean;
  /** 1-bit layers, by sign(weight) ⊙ (weight_scale input_factorᵀ) and a LayerNorm. */
  onebit: boolean;
  /**
   * Every tensor by its Hugging Face name, row-major, as stored (rounded to its dtype). A packed weight
   * stands here as its signs, ±1, `[out, in]`. A tied model has model.embed_tokens.weight only.
   */
  tensors: Map<string, RandomTensor>;
}

export interface RandomTensor {
  shape: number[];
  values: Float64Array;
}

const projections = [
  'self_attn.q_proj',
  'self_attn.k_proj',
  'self_attn.v_proj',
  'self_attn.o_proj',
  'mlp.gate_proj',
  'mlp.up_proj',
  'mlp.down_proj',
];

/** Writes the checkpoint into `folder` (made if need be). The same seed gives the same weights. */
export function writeRandomCheckpoint(folder: string, options: RandomCheckpointOptions): RandomCheckpoint {
  const { layout } = options;
  const hiddenSize = options.hiddenSize ?? 64;
  const intermediateSize = options.intermediateSize ?? 96;
  const heads = options.heads ?? 4;
  const kvHeads = options.kvHeads ?? heads;
  const headDim = options.headDim ?? hiddenSize / heads;
  const vocabSize = options.vocabSize ?? 128;
  const layers = options.layers ?? 2;
  const maxPositions = options.maxPositions ?? 128;
  const ropeTheta = options.ropeTheta ?? 10000;
  const rmsNormEps = options.rmsNormEps ?? 1e-5;
  const attentionBias = options.attentionBias ?? false;
  const mlpBias = options.mlpBias ?? false;
  const tied = options.tied ?? false;
  const dtype = layout === 'llama2c' ? 'F32' : layout === 'onebit' ? 'F16' : (options.dtype ?? 'F32');
  const onebit = layout !== 'full' && layout !== 'llama2c';
  const packed = layout === 'bitllama-inference' || layout === 'onebit';
  const random = normal(options.seed ?? 1);
  const tensors = new Map<string, RandomTensor>();
  const stored: StoredTensor[] = [];

  const add = (name: string, shape: number[], value: () => number, storedName = name) => {
    const values = new Float64Array(shape.reduce((a, b) => a * b, 1)).map(() => round(value(), dtype));
    tensors.set(name, { shape, values });
    stored.push({ name: storedName, dtype, shape, bytes: floatBytes(values, dtype) });
    return values;
  };
  const addSigns = (name: string, [out, inner]: [number, number]) => {
    const values = new Float64Array(out * inner).map(() => (random() < 0 ? -1 : 1));
    tensors.set(name, { shape: [out, inner], values });
    const bytes = new Uint8Array((out * inner) / 8);
    values.forEach((sign, i) => {
      if (sign < 0) bytes[i >> 3] = (bytes[i >> 3] ?? 0) + 2 ** (i & 7);
    });
    const signDtype = layout === 'onebit' ? 'U8' : 'I8';
    stored.push({ name, dtype: signDtype, shape: [out, inner / 8], bytes });
  };

  add(
    'model.embed_tokens.weight',
    [vocabSize, hiddenSize],
    () => 0.5 * random(),
    tied === 'lm_head' ? 'lm_head.weight' : undefined,
  );
  for (let layer = 0; layer < layers; layer++) {
    const block = `model.layers.${layer}.`;
    add(`${block}input_layernorm.weight`, [hiddenSize], () => 1 + 0.1 * random());
    add(`${block}post_attention_layernorm.weight`, [hiddenSize], () => 1 + 0.1 * random());
    for (const projection of projections) {
      const name = block + projection;
      const [out, inner] = shapeOf(projection);
      if (packed) {
        addSigns(`${name}.weight`, [out, inner]);
      } else {
        let first = true;
        add(`${name}.weight`, [out, inner], () => {
          // One exact zero a matrix: its sign counts as +1.
          if (onebit && first) {
            first = false;
            return 0;
          }
          return onebit ? 0.02 * random() : random() / Math.sqrt(inner);
        });
      }
      if (onebit) {
        add(`${name}.weight_scale`, [out], () => 0.2 * (0.5 + Math.abs(random())));
        add(`${name}.input_factor`, [inner], () => 0.2 * (0.5 + Math.abs(random())));
      }
      if (projection.startsWith('mlp.') ? mlpBias : attentionBias) {
        add(`${name}.bias`, [out], () => 0.1 * random());
      }
    }
  }
  add('model.norm.weight', [hiddenSize], () => 1 + 0.1 * random());
  if (tied === false) add('lm_head.weight', [vocabSize, hiddenSize], () => random() / Math.sqrt(hiddenSize));

  mkdirSync(folder, { recursive: true });
  let path = folder;
  if (layout === 'llama2c') {
    path = join(folder, 'model.bin');
    writeLlama2c(path);
  } else {
    writeFileSync(join(folder, 'config.json'), JSON.stringify(config(), null, 1));
    writeShards(folder, stored, options.shards ?? 1);
  }
  return {
    path,
    hiddenSize,
    intermediateSize,
    layers,
    heads,
    kvHeads,
    headDim,
    vocabSize,
    maxPositions,
    ropeTheta,
    rmsNormEps,
    attentionBias,
    mlpBias,
    tied: tied !== false,
    onebit,
    tensors,
  };

  function shapeOf(projection: string): [number, number] {
    if (projection === 'self_attn.q_proj') return [heads * headDim, hiddenSize];
    if (projection === 'self_attn.o_proj') return [hiddenSize, heads * headDim];
    if (projection.startsWith('self_attn.')) return [kvHeads * headDim, hiddenSize];
    return projection === 'mlp.down_proj' ? [hiddenSize, intermediateSize] : [intermediateSize, hiddenSize];
  }

  function config(): Record<string, unknown> {
    return {
      architectures: [layout.startsWith('bitllama') ? 'BitLlamaForCausalLM' : 'LlamaForCausalLM'],
      model_type: layout.startsWith('bitllama') ? 'bitllama' : 'llama',
      vocab_size: vocabSize,
      hidden_size: hiddenSize,
      intermediate_size: intermediateSize,
      num_hidden_layers: layers,
      num_attention_heads: heads,
      ...(kvHeads === heads ? {} : { num_key_value_heads: kvHeads }),
      ...(options.headDim === undefined ? {} : { head_dim: headDim }),
      hidden_act: 'silu',
      max_position_embeddings: maxPositions,
      rms_norm_eps: rmsNormEps,
      rope_theta: ropeTheta,
      tie_word_embeddings: tied !== false,
      attention_bias: attentionBias,
      ...(mlpBias ? { mlp_bias: true } : {}),
      bos_token_id: options.bosTokenId === undefined ? 1 : options.bosTokenId,
      eos_token_id: options.eosTokenId === undefined ? 2 : options.eosTokenId,
      torch_dtype: { F32: 'float32', F16: 'float16', BF16: 'bfloat16' }[dtype],
      ...(layout === 'onebit' ? { quantization_config: { quant_method: 'onebit', version: 1 } } : {}),
      ...options.config,
    };
  }

  /** Seven int32, then the tensors by kind, all layers of one kind together; q and k interleaved. */
  function writeLlama2c(file: string): void {
    const header = new Int32Array([
      hiddenSize,
      intermediateSize,
      layers,
      heads,
      kvHeads,
      tied === false ? -vocabSize : vocabSize,
      maxPositions,
    ]);
    const parts: Uint8Array[] = [new Uint8Array(header.buffer)];
    const values = (name: string) => tensors.get(name)?.values ?? new Float64Array();
    const put = (data: Float64Array) => parts.push(floatBytes(data, 'F32'));
    const each = (name: string, change = (data: Float64Array) => data) => {
      for (let layer = 0; layer < layers; layer++)
        put(change(values(`model.layers.${layer}.${name}.weight`)));
    };
    put(values('model.embed_tokens.weight'));
    each('input_layernorm');
    each('self_attn.q_proj', (data) => interleave(data, heads, headDim, hiddenSize));
    each('self_attn.k_proj', (data) => interleave(data, kvHeads, headDim, hiddenSize));
    each('self_attn.v_proj');
    each('self_attn.o_proj');
    each('post_attention_layernorm');
    each('mlp.gate_proj');
    each('mlp.down_proj');
    each('mlp.up_proj');
    put(values('model.norm.weight'));
    // Two tables of RoPE angles that readers skip.
    put(new Float64Array(maxPositions * headDim));
    if (tied === false) put(values('lm_head.weight'));
    writeFileSync(file, Buffer.concat(parts));
  }
}

/** Hugging Face turns the pairs (i, i + d/2) of a head, llama2.c the pairs (2i, 2i + 1). */
function interleave(data: Float64Array, heads: number, headDim: number, inner: number): Float64Array {
  const result = new Float64Array(data.length);
  for (let head = 0; head < heads; head++) {
    for (let i = 0; i < headDim; i++) {
      const to = i < headDim / 2 ? 2 * i : 2 * (i - headDim / 2) + 1;
      const from = (head * headDim + i) * inner;
      result.set(data.subarray(from, from + inner), (head * headDim + to) * inner);
    }
  }
  return result;
}

interface StoredTensor {
  name: string;
  dtype: string;
  shape: number[];
  bytes: Uint8Array;
}

function writeShards(folder: string, tensors: StoredTensor[], shards: number): void {
  const perShard = Math.ceil(tensors.length / shards);
  const weightMap: Record<string, string> = {};
  for (let shard = 0; shard < shards; shard++) {
    const part = tensors.slice(shard * perShard, (shard + 1) * perShard);
    const padded = (n: number) => String(n).padStart(5, '0');
    const name =
      shards === 1 ? 'model.safetensors' : `model-${padded(shard + 1)}-of-${padded(shards)}.safetensors`;
    writeFileSync(join(folder, name), safetensorsFile(part));
    for (const tensor of part) weightMap[tensor.name] = name;
  }
  if (shards > 1) {
    writeFileSync(
      join(folder, 'model.safetensors.index.json'),
      JSON.stringify({ metadata: {}, weight_map: weightMap }),
    );
  }
}

/** A safetensors file in memory, in the order given. */
export function safetensorsFile(tensors: StoredTensor[]): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  let end = 0;
  for (const { name, dtype, shape, bytes } of tensors) {
    header[name] = { dtype, shape, data_offsets: [end, end + bytes.length] };
    end += bytes.length;
  }
  let json = JSON.stringify(header);
  while (json.length % 8 !== 0) json += ' ';
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(json)));
  return Buffer.concat([length, Buffer.from(json), ...tensors.map((tensor) => tensor.bytes)]);
}

/** The nearest value that the dtype can hold, ties to even, by arithmetic on its spacing. */
export function round(value: number, dtype: 'F32' | 'F16' | 'BF16'): number {
  if (dtype === 'F32' || value === 0) return Math.fround(value);
  const [digits, least] = dtype === 'F16' ? [10, -14] : [7, -126];
  const spacing = 2 ** (Math.max(Math.floor(Math.log2(Math.abs(value))), least) - digits);
  const units = value / spacing;
  const low = Math.floor(units);
  const up = units - low > 0.5 || (units - low === 0.5 && low % 2 !== 0);
  return (up ? low + 1 : low) * spacing;
}

/** Little-endian bytes of values that the dtype holds exactly. */
export function floatBytes(values: Float64Array, dtype: 'F32' | 'F16' | 'BF16'): Uint8Array {
  const bytes = Buffer.alloc(values.length * (dtype === 'F32' ? 4 : 2));
  values.forEach((value, i) => {
    if (dtype === 'F32') {
      bytes.writeFloatLE(value, 4 * i);
    } else if (dtype === 'BF16') {
      const four = Buffer.alloc(4);
      four.writeFloatBE(value);
      bytes.writeUInt16LE(four.readUInt16BE(), 2 * i);
    } else {
      bytes.writeUInt16LE(halfOf(value), 2 * i);
    }
  });
  return bytes;
}

function halfOf(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (size === 0) return sign;
  const exponent = Math.max(Math.floor(Math.log2(size)), -14);
  const mantissa = size / 2 ** exponent;
  return mantissa < 1 ? sign + mantissa * 1024 : sign + (exponent + 15) * 1024 + (mantissa - 1) * 1024;
}

/** Standard normal numbers: mulberry32 with Box and Muller's method. */
function normal(seed: number): () => number {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}
