import { tf } from '../backend/tfjs.ts';
import { at, differentiable, hasKernel, isFrozen, runKernel } from './fused.ts';

/**
 * Rows of the embedding table. The gradient adds up the rows of tokens that occur more than once.
 *
 * @param table [vocab, hidden] f32; if it is a `tf.Variable` that is not trainable, its gradient is not computed
 * @param ids [n] int32, each in [0, vocab)
 * @returns [n, hidden] f32
 */
export function embed(table: tf.Tensor2D, ids: tf.Tensor1D): tf.Tensor2D {
  const native = hasKernel('OneBitEmbed');
  const rows = () => (native ? at(runKernel('OneBitEmbed', { table, ids }), 0) : tf.gather(table, ids));
  // Outside of differentiable the lookup would be taped; with a frozen table there is nothing to tape.
  if (isFrozen(table)) return tf.tidy(rows) as tf.Tensor2D;
  const [vocab, hidden] = table.shape;
  return differentiable([table], (save) => {
    save([ids]);
    return {
      value: rows(),
      gradient: (dy, saved) =>
        native
          ? runKernel('OneBitEmbedGradient', { dy, ids: at(saved, 0) }, { vocab })
          : [tf.scatterND(tf.expandDims(at(saved, 0), 1), dy, [vocab, hidden])],
    };
  });
}
