import type { ModelConfig, Projection } from '../checkpoint/model-config.ts';
import type { OptimizerRecipe, StudentRecipe } from '../protocol/recipe.ts';
import { tf } from './backend/tfjs.ts';
import { causalAttention, embed, linear, recomputed, rmsNorm, signLinear, swiglu } from './ops/index.ts';

/** Tensors by their checkpoint names. A linear with `.weight_scale` and `.input_factor` beside it is 1-bit. */
export type Weights = ReadonlyMap<string, tf.Tensor>;

export interface ForwardResult {
  /** `[batch · window, vocab]` f32. */
  logits: tf.Tensor2D;
  /**
   * `[batch · window, hidden]` f32 each: the embedding's output, then each block's. The first n are
   * hidden_states[0 … n−1] of the Hugging Face model, which the paper's loss runs over; the last block's
   * output is here as it is before the final norm.
   */
  hiddenStates: tf.Tensor2D[];
}

export interface GraphOptions {
  /** Of 1-bit linears (ops/sign-linear.ts); default `tanh`, the authors'. */
  straightThrough?: StudentRecipe['straightThrough'];
  /** `blocks`: keep only what enters each block, and compute the block again for its gradient. */
  recompute?: OptimizerRecipe['recompute'];
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
  options: GraphOptions = {},
): ForwardResult {
  const embedding = tensorOf(weights, 'model.embed_tokens.weight') as tf.Tensor2D;
  let x = embed(embedding, tokens);
  const hiddenStates = [x];
  for (let layer = 0; layer < config.layers; layer++) {
    const block = (x: tf.Tensor2D): tf.Tensor2D =>
      decoderBlock(config, weights, layer, x, batch, window, options.straightThrough);
    x = options.recompute === 'blocks' ? recomputed(block, x, blockVariables(weights, layer)) : block(x);
    hiddenStates.push(x);
  }
  const last = rmsNorm(x, tensorOf(weights, 'model.norm.weight') as tf.Tensor1D, config.rmsNormEps);
  const head = weights.get('lm_head.weight') as tf.Tensor2D | undefined;
  return { logits: linear(last, head ?? embedding), hiddenStates };
}

/** One decoder block: `x` and the result are `[batch · window, hidden]`. */
export function decoderBlock(
  config: ModelConfig,
  weights: Weights,
  layer: number,
  x: tf.Tensor2D,
  batch: number,
  window: number,
  straightThrough: StudentRecipe['straightThrough'] = 'tanh',
): tf.Tensor2D {
  const prefix = blockPrefix(layer);
  const project = (x: tf.Tensor2D, projection: Projection): tf.Tensor2D => {
    const name = `${prefix}${projection}`;
    const h = weights.get(`${name}.weight_scale`) as tf.Tensor1D | undefined;
    const matrix = tensorOf(weights, `${name}.weight`) as tf.Tensor2D;
    const bias = weights.get(`${name}.bias`) as tf.Tensor1D | undefined;
    if (h === undefined) return linear(x, matrix, bias);
    const g = tensorOf(weights, `${name}.input_factor`) as tf.Tensor1D;
    const y = signLinear(x, matrix, g, h, { eps: config.layerNormEps, straightThrough });
    return bias === undefined ? y : tf.add(y, bias);
  };
  const norm = (x: tf.Tensor2D, name: string): tf.Tensor2D =>
    rmsNorm(x, tensorOf(weights, `${prefix}${name}.weight`) as tf.Tensor1D, config.rmsNormEps);

  const a = norm(x, 'input_layernorm');
  const attention = causalAttention(
    project(a, 'self_attn.q_proj'),
    project(a, 'self_attn.k_proj'),
    project(a, 'self_attn.v_proj'),
    {
      batch,
      window,
      heads: config.heads,
      kvHeads: config.kvHeads,
      headDim: config.headDim,
      ropeTheta: config.ropeTheta,
    },
  );
  const between = tf.add<tf.Tensor2D>(x, project(attention, 'self_attn.o_proj'));
  const b = norm(between, 'post_attention_layernorm');
  const inner = swiglu(project(b, 'mlp.gate_proj'), project(b, 'mlp.up_proj'));
  return tf.add(between, project(inner, 'mlp.down_proj'));
}

/** What the names of a block's tensors begin with. */
export const blockPrefix = (layer: number): string => `model.layers.${layer}.`;

function blockVariables(weights: Weights, layer: number): tf.Tensor[] {
  return [...weights].flatMap(([name, tensor]) =>
    name.startsWith(blockPrefix(layer)) && tensor instanceof tf.Variable && tensor.trainable ? [tensor] : [],
  );
}

function tensorOf(weights: Weights, name: string): tf.Tensor {
  const tensor = weights.get(name);
  if (tensor === undefined) throw new Error(`The graph lacks ${name}.`);
  return tensor;
}
