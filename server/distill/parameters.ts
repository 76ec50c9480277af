import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { projections, projectionShape, type ModelConfig } from '../checkpoint/model-config.ts';
import { OneBitError } from '../protocol/error.ts';
import { tf } from './backend/tfjs.ts';
import { Random } from './random.ts';

/**
 * A model's tensors in training, f32, by checkpoint name. A variable whose `trainable` is false is
 * frozen: the ops compute no gradient for it.
 */
export type Parameters = Map<string, tf.Variable>;

/** Frees every variable. */
export function disposeParameters(parameters: Parameters): void {
  for (const variable of parameters.values()) variable.dispose();
  parameters.clear();
}

/** Reads every float tensor of a full-precision or training-kind checkpoint. The caller disposes them. */
export async function readParameters(
  checkpoint: Checkpoint,
  isTrainable: (name: string) => boolean,
  signal?: AbortSignal,
): Promise<Parameters> {
  const parameters: Parameters = new Map();
  try {
    for (const [name, info] of checkpoint.tensors) {
      const values = await checkpoint.readFloats(name, signal);
      if (!values.every(Number.isFinite)) {
        throw new OneBitError('bad-value', `${checkpoint.path}: ${name} holds NaN or infinity.`);
      }
      parameters.set(name, variableOf(values, info.shape, isTrainable(name)));
    }
    return parameters;
  } catch (error) {
    disposeParameters(parameters);
    throw error;
  }
}

/**
 * Random start of a LLaMA: normal with deviation 0.02, the projections that write to the residual
 * stream divided by √(2 · layers) (Radford et al. 2019), gains of 1. The caller disposes them.
 */
export function initialParameters(config: ModelConfig, seed: number): Parameters {
  const random = new Random(seed, 'weights');
  const parameters: Parameters = new Map();
  const normal = (name: string, shape: [number, number], deviation: number): void => {
    const values = Float32Array.from({ length: shape[0] * shape[1] }, () => random.normal() * deviation);
    parameters.set(name, variableOf(values, shape, true));
  };
  const gain = (name: string): void => {
    parameters.set(name, variableOf(new Float32Array(config.hiddenSize).fill(1), [config.hiddenSize], true));
  };
  normal('model.embed_tokens.weight', [config.vocabSize, config.hiddenSize], 0.02);
  for (let layer = 0; layer < config.layers; layer++) {
    const prefix = `model.layers.${layer}`;
    gain(`${prefix}.input_layernorm.weight`);
    gain(`${prefix}.post_attention_layernorm.weight`);
    for (const projection of projections) {
      const residual = projection === 'self_attn.o_proj' || projection === 'mlp.down_proj';
      normal(
        `${prefix}.${projection}.weight`,
        projectionShape(config, projection),
        residual ? 0.02 / Math.sqrt(2 * config.layers) : 0.02,
      );
    }
  }
  gain('model.norm.weight');
  if (!config.tieEmbeddings) normal('lm_head.weight', [config.vocabSize, config.hiddenSize], 0.02);
  return parameters;
}

/** A variable of these values, which it takes over. The caller disposes it. */
export function variableOf(values: Float32Array, shape: number[], trainable: boolean): tf.Variable {
  const tensor = tf.tensor(values, shape, 'float32');
  const variable = tf.variable(tensor, trainable);
  tensor.dispose();
  return variable;
}

/** A copy with memory of its own (optimizer kernels change variables in place). The caller disposes it. */
export async function copyParameter(variable: tf.Variable, trainable: boolean): Promise<tf.Variable> {
  return variableOf(Float32Array.from(await variable.data()), variable.shape, trainable);
}
