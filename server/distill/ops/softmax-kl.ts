import { tf } from '../backend/tfjs.ts';
import { at, differentiable, hasKernel, runKernel } from './fused.ts';

/**
 * The distillation loss on logits: mean over rows of KL(softmax(teacher) ‖ softmax(student)), in nats.
 * The teacher is a constant: no gradient flows to it.
 *
 * @param teacherLogits [n, vocab] f32
 * @param studentLogits [n, vocab] f32
 * @returns scalar
 */
export function softmaxKl(teacherLogits: tf.Tensor2D, studentLogits: tf.Tensor2D): tf.Scalar {
  const rows = studentLogits.shape[0];
  return differentiable([studentLogits], (save) => {
    if (hasKernel('OneBitSoftmaxKl')) {
      const outputs = runKernel('OneBitSoftmaxKl', { teacher: teacherLogits, student: studentLogits });
      save([teacherLogits, studentLogits, at(outputs, 1), at(outputs, 2)]);
      return {
        value: at(outputs, 0),
        gradient: (dy, [teacher, student, teacherLogSumExp, studentLogSumExp]) =>
          runKernel('OneBitSoftmaxKlGradient', { dy, teacher, student, teacherLogSumExp, studentLogSumExp }),
      };
    }
    const teacher = tf.logSoftmax(teacherLogits);
    const student = tf.logSoftmax(studentLogits);
    save([teacher, student]);
    return {
      value: tf.div(tf.sum(tf.mul(tf.exp(teacher), tf.sub(teacher, student))), rows),
      gradient: (dy, saved) => [tf.mul(tf.sub(tf.exp(at(saved, 1)), tf.exp(at(saved, 0))), tf.div(dy, rows))],
    };
  });
}
