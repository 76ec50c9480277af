import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { ModelConfig } from '../checkpoint/model-config.ts';
import { OneBitError } from '../protocol/error.ts';

/** What both must have alike: the shape, and what a forward pass computes from it. */
const shared: readonly (keyof ModelConfig)[] = [
  'hiddenSize',
  'intermediateSize',
  'layers',
  'heads',
  'kvHeads',
  'headDim',
  'vocabSize',
  'tieEmbeddings',
  'attentionBias',
  'mlpBias',
  'ropeTheta',
  'rmsNormEps',
];

/**
 * Sees that a student is one of this teacher's: training computes both with the teacher's config.
 * @throws bad-request, with the first field that differs
 */
export function checkStudent(student: Checkpoint, teacher: Checkpoint): void {
  for (const field of shared) {
    const [own, wanted] = [student.config[field], teacher.config[field]];
    if (own === wanted) continue;
    throw new OneBitError(
      'bad-request',
      `${student.path} has ${field} ${String(own)}, the teacher ${String(wanted)}: the student must be made from ` +
        'this teacher. Give one that was, or none.',
    );
  }
}
