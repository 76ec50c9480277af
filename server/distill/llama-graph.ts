import type { ModelConfig } from '../checkpoint/model-config.ts';
import { tf } from './backend/tfjs.ts';
import { causalAttention, embed, linear, rmsNorm, signLinear, swiglu } from './ops/index.ts';

/** Tensors by their checkpoint names. A linear with `.weight_scale` and `.input_factor` beside it is 1-bit. */
export type Weights = ReadonlyMap<string, tf.Tensor>;

export interface ForwardResult {
  /** `[batch · window, vocab]` f32. */
  logits: tf.Tensor2D;
  /**
   * `[batch · window, hidden]` f32 each: the embedding's output, then each layer's but the last
   * (hidden_states[0 … n−1] of the Hugging Face model, which the paper's loss runs over).
   */
  hiddenStates: tf.Tensor2D[];
}

/**
 * The one LLaMA of training: teacher, student and from-scratch model differ only in their weights.
 * `tokens` is `[batch · window]` int32, `batch` sequences of `window` positions from 0.
 * Differentiable; 1-bit linears use the straight-through gradient (ops/sign-linear.ts).
 */
export function llamaForward(
  config: ModelConfig,
  weights: Weights,
  tokens: tf.Tensor1D,
  batch: number,
  window: number,
): ForwardResult {
  const weight = (name: string): tf.Tensor => {
    const tensor = weights.get(name);
    if (tensor === undefined) throw new Error(`The graph lacks ${name}.`);
    return tensor;
  };
  const project = (x: tf.Tensor2D, name: string): tf.Tensor2D => {
    const h = weights.get(`${name}.weight_scale`) as tf.Tensor1D | undefined;
    const matrix = weight(`${name}.weight`) as tf.Tensor2D;
    const bias = weights.get(`${name}.bias`) as tf.Tensor1D | undefined;
    if (h === undefined) return linear(x, matrix, bias);
    const g = weight(`${name}.input_factor`) as tf.Tensor1D;
    const y = signLinear(x, matrix, g, h, { eps: config.layerNormEps, straightThrough: 'tanh' });
    return bias === undefined ? y : tf.add(y, bias);
  };
  const norm = (x: tf.Tensor2D, name: string): tf.Tensor2D =>
    rmsNorm(x, weight(`${name}.weight`) as tf.Tensor1D, config.rmsNormEps);

  const embedding = weight('model.embed_tokens.weight') as tf.Tensor2D;
  const hiddenStates: tf.Tensor2D[] = [];
  let x = embed(embedding, tokens);
  for (let layer = 0; layer < config.layers; layer++) {
    hiddenStates.push(x);
    const prefix = `model.layers.${layer}`;
    const a = norm(x, `${prefix}.input_layernorm`);
    const attention = causalAttention(
      project(a, `${prefix}.self_attn.q_proj`),
      project(a, `${prefix}.self_attn.k_proj`),
      project(a, `${prefix}.self_attn.v_proj`),
      {
        batch,
        window,
        heads: config.heads,
        kvHeads: config.kvHeads,
        headDim: config.headDim,
        ropeTheta: config.ropeTheta,
      },
    );
    x = tf.add(x, project(attention, `${prefix}.self_attn.o_proj`));
    const b = norm(x, `${prefix}.post_attention_layernorm`);
    const inner = swiglu(project(b, `${prefix}.mlp.gate_proj`), project(b, `${prefix}.mlp.up_proj`));
    x = tf.add(x, project(inner, `${prefix}.mlp.down_proj`));
  }
  const head = weights.get('lm_head.weight') as tf.Tensor2D | undefined;
  return { logits: linear(norm(x, 'model.norm'), head ?? embedding), hiddenStates };
}
