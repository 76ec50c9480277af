import { tf } from '../backend/tfjs.ts';
import { at, differentiable } from './fused.ts';

/** The smallest share of the student's tail that is told from rounding in f32. */
const smallestTail = 1e-7;

/**
 * The distillation loss on cached logits: mean over rows of KL(teacher ‖ student) over k + 1 buckets, the
 * teacher's k likeliest tokens and one for all others together. By the log sum inequality it is never
 * more than the KL over the vocabulary; with k = vocab (and no tail) it is that.
 * Differentiable in the student's logits.
 *
 * @param tokens [n, k] int32, distinct in a row
 * @param probabilities [n, k] f32, the teacher's; what is missing to 1 is the tail's
 * @param logits [n, vocab] f32, the student's
 * @returns scalar
 */
export function bucketKl(tokens: tf.Tensor2D, probabilities: tf.Tensor2D, logits: tf.Tensor2D): tf.Scalar {
  const [n, k] = tokens.shape;
  const vocab = logits.shape[1];
  return differentiable([logits], (save) => {
    const first = tf.mul(tf.range(0, n, 1, 'int32'), tf.scalar(vocab, 'int32'));
    const places = tf.reshape(tf.add(tokens, tf.expandDims(first, 1)), [n * k]);
    const chosen = tf.reshape(tf.gather(tf.reshape(logits, [n * vocab]), places), [n, k]);
    const logSum = tf.logSumExp(logits, 1, true);
    const own = tf.sub(chosen, logSum);
    const rest = (p: tf.Tensor) => tf.sub(1, tf.sum(p, 1, true));
    const tail = k === vocab ? tf.zeros([n, 1]) : tf.maximum(rest(probabilities), 0);
    const ownTail = tf.maximum(rest(tf.exp(own)), smallestTail);
    const share = (p: tf.Tensor, logQ: tf.Tensor) => tf.mul(p, tf.sub(tf.log(tf.maximum(p, 1e-30)), logQ));
    const total = tf.add(tf.sum(share(probabilities, own)), tf.sum(share(tail, tf.log(ownTail))));
    save([logits, logSum, places, own, probabilities, tf.div(tail, ownTail)]);
    return {
      value: tf.div(total, n),
      gradient: (dy, saved) => {
        const [logits, logSum, places, own, probabilities, ratio] = [0, 1, 2, 3, 4, 5].map((i) =>
          at(saved, i),
        );
        if (!logits || !logSum || !places || !own || !probabilities || !ratio) throw new Error('Not saved.');
        // q · (1 − tail / own tail) everywhere; at the chosen tokens that is corrected to q − p.
        const all = tf.mul(tf.exp(tf.sub(logits, logSum)), tf.sub(1, ratio));
        const correction = tf.sub(tf.mul(tf.exp(own), ratio), probabilities);
        const spread = tf.scatterND(tf.expandDims(places, 1), tf.reshape(correction, [n * k]), [n * vocab]);
        return [tf.mul(tf.add(all, tf.reshape(spread, [n, vocab])), tf.div(dy, n))];
      },
    };
  });
}
