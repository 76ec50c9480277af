import { OneBitError } from '../protocol/error.ts';
import type { LayerStatistics } from '../protocol/inspect.ts';
import type { FloatRows } from '../svid/float-rows.ts';
import { distribution, positiveShares } from './distribution.ts';
import { latentSigns } from './latent-weights.ts';
import { outlierInputs } from './outliers.ts';
import { countDifferent, countNegative, type NegativeCounts, type SignMatrix } from './sign-matrix.ts';
import type { InspectedCheckpoint } from './run-files.ts';
import { MatrixRows, type MatrixName } from './sign-rows.ts';
import {
  checkSums,
  compareWithTeacher,
  firstSingularSquare,
  type TeacherSums,
} from './teacher-comparison.ts';

/** The checkpoints that an inspection looks at. */
export interface InspectedModels {
  /** 1-bit, packed or of the training kind. */
  model: InspectedCheckpoint;
  /** Full precision, of the model's shape. */
  teacher?: InspectedCheckpoint;
  /** 1-bit, of the model's shape. */
  other?: InspectedCheckpoint;
}

/** A 1-bit matrix as it lies in its checkpoint. */
export interface OneBitMatrix {
  signs: SignMatrix;
  /** `[columns]` */
  g: Float32Array;
  /** `[rows]` */
  h: Float32Array;
  /** Of latent weights. */
  nearZeroShare?: number;
}

/** Everything that is read of one matrix. */
export interface ReadMatrix {
  matrix: MatrixName;
  model: OneBitMatrix;
  other?: OneBitMatrix;
  teacher?: FloatRows;
  teacherPath?: string;
}

/** @throws missing-tensor, bad-value, cancelled */
async function readOneBit(
  checkpoint: InspectedCheckpoint,
  name: string,
  signal?: AbortSignal,
): Promise<OneBitMatrix> {
  const matrix = new MatrixRows(checkpoint, name);
  const { rows, columns } = matrix;
  const g = await checkpoint.readFloats(`${name}.input_factor`, signal);
  const h = await checkpoint.readFloats(`${name}.weight_scale`, signal);
  if (checkpoint.kind === 'onebit') {
    return { signs: { rows, columns, bytes: await matrix.signs(0, rows, signal) }, g, h };
  }
  return { ...(await latentSigns(await matrix.stored(signal), rows, columns, name)), g, h };
}

/** Reads one matrix of every checkpoint. @throws bad-request where their shapes differ, and what reading throws */
export async function readMatrix(
  matrix: MatrixName,
  { model, teacher, other }: InspectedModels,
  signal?: AbortSignal,
): Promise<ReadMatrix> {
  const { name } = matrix;
  const shape = new MatrixRows(model, name);
  const checked = (checkpoint: InspectedCheckpoint): MatrixRows => {
    const found = new MatrixRows(checkpoint, name);
    if (found.rows === shape.rows && found.columns === shape.columns) return found;
    throw new OneBitError(
      'bad-request',
      `${name} is ${shape.rows} × ${shape.columns} in ${model.path} and ${found.rows} × ${found.columns} in ` +
        `${checkpoint.path}: ${checkpoint.kind === 'full' ? 'that is not its teacher' : 'they cannot be compared'}.`,
    );
  };
  if (teacher !== undefined) checked(teacher);
  if (other !== undefined) checked(other);
  return {
    matrix,
    model: await readOneBit(model, name, signal),
    ...(other === undefined ? {} : { other: await readOneBit(other, name, signal) }),
    ...(teacher === undefined
      ? {}
      : { teacher: await checked(teacher).stored(signal), teacherPath: teacher.path }),
  };
}

/** The statistics of a matrix that was read, its counts of −1 by row and column, and the sums against the teacher. */
export async function matrixStatistics(
  { matrix, model, other, teacher, teacherPath }: ReadMatrix,
  signal?: AbortSignal,
): Promise<{ statistics: LayerStatistics; negative: NegativeCounts; sums?: TeacherSums }> {
  const { signs, g, h } = model;
  const { rows, columns } = signs;
  const negative = await countNegative(signs);
  const count = rows * columns;
  const statistics: LayerStatistics = {
    ...matrix,
    rows,
    columns,
    positiveShare: 1 - negative.rows.reduce((sum, one) => sum + one, 0) / count,
    rowBalance: distribution(positiveShares(negative.rows, columns)),
    columnBalance: distribution(positiveShares(negative.columns, rows)),
    g: distribution(g),
    h: distribution(h),
    outlierInputs: outlierInputs(g),
  };
  if (model.nearZeroShare !== undefined) statistics.nearZeroShare = model.nearZeroShare;
  if (other !== undefined) {
    statistics.other = {
      signAgreement: 1 - countDifferent(signs.bytes, other.signs.bytes) / count,
      gChange: relativeChange(g, other.g),
      hChange: relativeChange(h, other.h),
    };
  }
  let sums: TeacherSums | undefined;
  if (teacher !== undefined) {
    sums = await compareWithTeacher(signs, teacher, g, h, signal);
    checkSums(sums, matrix.name, teacherPath ?? 'the teacher');
    const { error, total, product, different } = sums;
    const rebuilt = Math.sqrt(squares(g) * squares(h));
    const first = await firstSingularSquare(teacher, rows, columns, sums, signal);
    statistics.teacher = {
      relativeError: total > 0 ? Math.sqrt(error / total) : 0,
      cosine: total > 0 && rebuilt > 0 ? product / (Math.sqrt(total) * rebuilt) : 0,
      signAgreement: 1 - different / count,
      energyShare: total > 0 ? Math.min(1, first / total) : 0,
    };
  }
  return { statistics, negative, ...(sums === undefined ? {} : { sums }) };
}

function squares(values: Float32Array): number {
  return values.reduce((sum, value) => sum + value * value, 0);
}

/** ‖a − b‖ / ‖b‖; 0 where both are zero. */
function relativeChange(a: Float32Array, b: Float32Array): number {
  let difference = 0;
  for (let i = 0; i < b.length; i++) difference += ((a[i] as number) - (b[i] as number)) ** 2;
  return difference === 0 ? 0 : Math.sqrt(difference / squares(b));
}
