import type { ModelConfig } from '../checkpoint/model-config.ts';
import { throwIfCancelled } from '../protocol/error.ts';
import { tf } from './backend/tfjs.ts';
import { llamaForward, type Weights } from './llama-graph.ts';
import { crossEntropy } from './ops/index.ts';

/**
 * exp of the mean negative log-likelihood over every label of the windows (`window + 1` ids each, see
 * plainWindows), with the training graph.
 */
export async function heldOutPerplexity(
  config: ModelConfig,
  weights: Weights,
  windows: readonly Int32Array[],
  signal?: AbortSignal,
): Promise<number> {
  let sum = 0;
  let labels = 0;
  for (const ids of windows) {
    throwIfCancelled(signal);
    const length = ids.length - 1;
    const nll = tf.tidy(() => {
      const inputs = tf.tensor1d(ids.slice(0, length), 'int32');
      const expected = tf.tensor1d(ids.slice(1), 'int32');
      return crossEntropy(llamaForward(config, weights, inputs, 1, length).logits, expected);
    });
    sum += ((await nll.data())[0] ?? NaN) * length;
    labels += length;
    nll.dispose();
  }
  return Math.exp(sum / labels);
}
