import { z } from 'zod';
import { OneBitError } from '../protocol/error.ts';
import { readJson } from './json-file.ts';
import type { ModelConfig } from './model-config.ts';

const size = (most: number) => z.int().min(1).max(most);
const tokenId = z
  .int()
  .min(0)
  .max(1 << 24);
const rope = z.looseObject({
  rope_type: z.string().nullish(),
  type: z.string().nullish(),
  rope_theta: z.number().positive().nullish(),
});

/** What we read of a Hugging Face config.json; the bounds are far above any model that exists. */
const configSchema = z.looseObject({
  model_type: z.string().nullish(),
  architectures: z.array(z.string()).nullish(),
  hidden_size: size(1 << 17),
  intermediate_size: size(1 << 20),
  num_hidden_layers: size(1024),
  num_attention_heads: size(4096),
  num_key_value_heads: size(4096).nullish(),
  head_dim: size(4096).nullish(),
  vocab_size: size(1 << 24),
  max_position_embeddings: size(1 << 27).default(2048),
  rms_norm_eps: z.number().positive().max(1).default(1e-6),
  rope_theta: z.number().positive().nullish(),
  rope_scaling: rope.nullish(),
  rope_parameters: rope.nullish(),
  partial_rotary_factor: z.number().nullish(),
  sliding_window: z.number().nullish(),
  hidden_act: z.string().default('silu'),
  tie_word_embeddings: z.boolean().nullish(),
  attention_bias: z.boolean().nullish(),
  mlp_bias: z.boolean().nullish(),
  bos_token_id: tokenId.nullish(),
  eos_token_id: z.union([tokenId, z.array(tokenId).max(64)]).nullish(),
  quantization_config: z
    .looseObject({ quant_method: z.string().nullish(), version: z.number().nullish() })
    .nullish(),
});

/** A config.json: the model's shape, and what only the tensors can settle. */
export interface HfConfig {
  model: ModelConfig;
  /** Undefined where config.json does not say: then the tensors decide. */
  tieEmbeddings: boolean | undefined;
  attentionBias: boolean | undefined;
  mlpBias: boolean | undefined;
}

/**
 * Reads `config.json` of a LLaMA or bitllama checkpoint.
 * @throws not-found, unreadable, bad-file (not JSON), bad-value (a field that makes no sense),
 *   unsupported (another architecture, RoPE scaling, another quantization)
 */
export async function readHfConfig(path: string): Promise<HfConfig> {
  return parseHfConfig(await readJson(path), path);
}

/**
 * The same of what such a file says.
 * @param path for messages
 */
export function parseHfConfig(json: unknown, path: string): HfConfig {
  const unsupported = (what: string) => new OneBitError('unsupported', `${path}: ${what}`);
  if (typeof json === 'object' && json !== null) {
    const type = 'model_type' in json ? json.model_type : undefined;
    if (type !== undefined && type !== null && type !== 'llama' && type !== 'bitllama') {
      throw unsupported(
        `model_type is ${JSON.stringify(type)?.slice(0, 60)}; this version reads llama and bitllama.`,
      );
    }
    if (type === undefined || type === null) {
      const names = 'architectures' in json ? json.architectures : undefined;
      if (!Array.isArray(names) || !names.includes('LlamaForCausalLM')) {
        throw unsupported('there is no model_type; set it to "llama" if this is a LLaMA model.');
      }
    }
  }
  const parsed = configSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const field = issue === undefined || issue.path.length === 0 ? 'the file' : issue.path.join('.');
    throw new OneBitError(
      'bad-value',
      `${path}: ${field}: ${issue?.message ?? 'not valid'}. Correct the field, or copy the file again.`,
    );
  }
  const config = parsed.data;
  const scaling = config.rope_scaling ?? undefined;
  for (const entry of [scaling, config.rope_parameters ?? undefined]) {
    const type = entry?.rope_type ?? entry?.type ?? 'default';
    if (type !== 'default') {
      throw unsupported(`RoPE scaling "${type.slice(0, 40)}" is not supported yet; only plain RoPE is.`);
    }
  }
  if ((config.partial_rotary_factor ?? 1) !== 1) {
    throw unsupported('partial_rotary_factor other than 1 is not supported.');
  }
  if (config.sliding_window !== null && config.sliding_window !== undefined) {
    throw unsupported('sliding_window attention is not supported.');
  }
  if (config.hidden_act !== 'silu' && config.hidden_act !== 'swish') {
    throw unsupported(`hidden_act is "${config.hidden_act.slice(0, 40)}"; a LLaMA has silu.`);
  }
  const quantization = config.quantization_config ?? undefined;
  if (quantization !== undefined) {
    if (quantization.quant_method !== 'onebit') {
      throw unsupported(
        `quantization_config.quant_method is ${JSON.stringify(quantization.quant_method ?? null).slice(0, 60)}; give the model in full precision.`,
      );
    }
    if ((quantization.version ?? 1) !== 1) {
      throw unsupported(
        `quantization_config.version is ${quantization.version}; this version of OneBit reads 1: update it.`,
      );
    }
  }

  const heads = config.num_attention_heads;
  const kvHeads = config.num_key_value_heads ?? heads;
  const bad = (what: string) => new OneBitError('bad-value', `${path}: ${what}`);
  if (heads % kvHeads !== 0) {
    throw bad(`num_key_value_heads ${kvHeads} does not divide num_attention_heads ${heads}.`);
  }
  if ((config.head_dim ?? undefined) === undefined && config.hidden_size % heads !== 0) {
    throw bad(
      `num_attention_heads ${heads} does not divide hidden_size ${config.hidden_size}, and there is no head_dim.`,
    );
  }
  const headDim = config.head_dim ?? config.hidden_size / heads;
  if (headDim % 2 !== 0) throw bad(`head_dim is ${headDim}; RoPE turns pairs, so it must be even.`);
  for (const id of [config.bos_token_id ?? 0, ...eosIds(config.eos_token_id)]) {
    if (id >= config.vocab_size) {
      throw bad(`bos_token_id or eos_token_id is ${id}, beyond vocab_size ${config.vocab_size}.`);
    }
  }
  return {
    model: {
      architecture: 'llama',
      hiddenSize: config.hidden_size,
      intermediateSize: config.intermediate_size,
      layers: config.num_hidden_layers,
      heads,
      kvHeads,
      headDim,
      vocabSize: config.vocab_size,
      maxPositions: config.max_position_embeddings,
      rmsNormEps: config.rms_norm_eps,
      ropeTheta: config.rope_parameters?.rope_theta ?? config.rope_theta ?? 10000,
      tieEmbeddings: config.tie_word_embeddings ?? false,
      attentionBias: config.attention_bias ?? false,
      mlpBias: config.mlp_bias ?? false,
      layerNormEps: 1e-5,
      bosTokenId: config.bos_token_id ?? undefined,
      eosTokenIds: eosIds(config.eos_token_id),
    },
    tieEmbeddings: config.tie_word_embeddings ?? undefined,
    attentionBias: config.attention_bias ?? undefined,
    mlpBias: config.mlp_bias ?? undefined,
  };
}

function eosIds(value: number | number[] | null | undefined): number[] {
  return value === null || value === undefined ? [] : Array.isArray(value) ? value : [value];
}
