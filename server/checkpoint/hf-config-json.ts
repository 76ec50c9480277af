import type { CheckpointKind } from './checkpoint.ts';
import type { ModelConfig } from './model-config.ts';

/**
 * config.json for a model that we write: a LLaMA's, and for a 1-bit model the `quantization_config` that
 * says so (DESIGN.md, Formats).
 * @param details further fields of `quantization_config`
 */
export function hfConfigJson(
  config: ModelConfig,
  kind: CheckpointKind,
  dtype: 'float16' | 'float32' = 'float16',
  details: Record<string, unknown> = {},
): Record<string, unknown> {
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: config.architecture,
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.kvHeads,
    head_dim: config.headDim,
    hidden_act: 'silu',
    max_position_embeddings: config.maxPositions,
    rms_norm_eps: config.rmsNormEps,
    rope_theta: config.ropeTheta,
    rope_scaling: null,
    attention_bias: config.attentionBias,
    mlp_bias: config.mlpBias,
    tie_word_embeddings: config.tieEmbeddings,
    bos_token_id: config.bosTokenId ?? null,
    eos_token_id: config.eosTokenIds.length > 1 ? config.eosTokenIds : (config.eosTokenIds[0] ?? null),
    torch_dtype: dtype,
    ...(kind === 'full'
      ? {}
      : {
          quantization_config: {
            quant_method: 'onebit',
            version: 1,
            packed: kind === 'onebit',
            modules_to_not_convert: ['lm_head'],
            ...details,
          },
        }),
  };
}
