import { tf } from '../backend/tfjs.ts';
import { at, differentiable, hasKernel, runKernel } from './fused.ts';

/**
 * The language-model loss: mean over rows of -log softmax(logits)[label], in nats.
 *
 * @param logits [n, vocab] f32
 * @param labels [n] int32, each in [0, vocab)
 * @param mask [n] f32, weight of each row (1 counts, 0 does not); absent: all count. The mean is over the
 *   mask's sum, and 0 where the mask is all 0.
 * @returns scalar
 */
export function crossEntropy(logits: tf.Tensor2D, labels: tf.Tensor1D, mask?: tf.Tensor1D): tf.Scalar {
  if (!hasKernel('OneBitCrossEntropy')) return composed(logits, labels, mask);
  return differentiable([logits], (save) => {
    const outputs = runKernel('OneBitCrossEntropy', { logits, labels, mask });
    save([logits, labels, at(outputs, 1), ...(mask === undefined ? [] : [mask])]);
    return {
      value: at(outputs, 0),
      gradient: (dy, [logits, labels, logSumExp, mask]) =>
        runKernel('OneBitCrossEntropyGradient', { dy, logits, labels, logSumExp, mask }),
    };
  });
}

function composed(logits: tf.Tensor2D, labels: tf.Tensor1D, mask: tf.Tensor1D | undefined): tf.Scalar {
  const [rows, vocab] = logits.shape;
  const chosen = tf.cast(tf.oneHot(labels, vocab), 'float32');
  const losses = tf.neg(tf.sum(tf.mul(tf.logSoftmax(logits), chosen), -1));
  if (mask === undefined) return tf.div(tf.sum(losses), rows);
  return tf.div<tf.Scalar>(tf.sum(tf.mul(losses, mask)), tf.maximum(tf.sum(mask), 1e-9));
}
