import { OneBitError, throwIfCancelled } from '../protocol/error.ts';
import { setImmediate } from 'node:timers/promises';
import { floatDtypeCodes, widenRows, type FloatRows } from '../svid/float-rows.ts';
import { inspectAddon } from './inspect-addon.ts';
import type { SignMatrix } from './sign-matrix.ts';

/** Sums over a matrix W of the teacher and the 1-bit Ŵ = S ⊙ (h gᵀ). */
export interface TeacherSums {
  /** ‖W − Ŵ‖² */
  error: number;
  /** ‖W‖² */
  total: number;
  /** ⟨W, Ŵ⟩ */
  product: number;
  /** Signs of W that S does not have; zero counts as +1. */
  different: number;
  /** Σ_i |W_ij|, `[columns]`: where the power iteration starts. */
  absolute: Float64Array;
}

/** Elements between two breaths for the event loop. */
const sliceElements = 1 << 21;

/** One pass over the teacher's matrix. */
export async function compareWithTeacher(
  signs: SignMatrix,
  weights: FloatRows,
  g: Float32Array,
  h: Float32Array,
  signal?: AbortSignal,
): Promise<TeacherSums> {
  const { rows, columns, bytes } = signs;
  const code = floatDtypeCodes[weights.dtype];
  const found = await inspectAddon()?.inspectCompare(weights.bytes, code, rows, columns, bytes, g, h);
  return found ?? comparePortably(signs, weights, g, h, signal);
}

async function comparePortably(
  { rows, columns, bytes }: SignMatrix,
  weights: FloatRows,
  g: Float32Array,
  h: Float32Array,
  signal?: AbortSignal,
): Promise<TeacherSums> {
  const absolute = new Float64Array(columns);
  const row = new Float32Array(columns);
  let [error, total, product, different] = [0, 0, 0, 0];
  let breath = 0;
  for (let i = 0; i < rows; i++) {
    widenRows(weights, columns, i, i + 1, row);
    const scale = h[i] as number;
    for (let j = 0; j < columns; j++) {
      const at = i * columns + j;
      const weight = row[j] as number;
      const bit = ((bytes[at >> 3] as number) >> (at & 7)) & 1;
      const rebuilt = (1 - 2 * bit) * scale * (g[j] as number);
      error += (weight - rebuilt) ** 2;
      total += weight * weight;
      product += weight * rebuilt;
      different += bit ^ (weight < 0 ? 1 : 0);
      absolute[j] = (absolute[j] as number) + Math.abs(weight);
    }
    if ((breath += columns) < sliceElements) continue;
    breath = 0;
    await setImmediate();
    throwIfCancelled(signal);
  }
  return { error, total, product, different, absolute };
}

/** ‖ |W| v ‖² and |W|ᵀ |W| v, for v of any length. */
export interface AbsoluteStep {
  squares: number;
  product: Float64Array;
}

/**
 * One pass of the power iteration on |W|.
 * @param typical the root mean square of W: keeps the sums inside f32
 */
export async function absoluteStep(
  weights: FloatRows,
  rows: number,
  columns: number,
  v: Float32Array,
  typical: number,
  signal?: AbortSignal,
): Promise<AbsoluteStep> {
  const code = floatDtypeCodes[weights.dtype];
  const scale = 2 ** Math.max(-120, Math.min(120, -Math.round(Math.log2(typical))));
  const found = await inspectAddon()?.inspectStep(weights.bytes, code, rows, columns, v, scale);
  return found ?? stepPortably(weights, rows, columns, v, signal);
}

async function stepPortably(
  weights: FloatRows,
  rows: number,
  columns: number,
  v: Float32Array,
  signal?: AbortSignal,
): Promise<AbsoluteStep> {
  const product = new Float64Array(columns);
  const row = new Float32Array(columns);
  let squares = 0;
  let breath = 0;
  for (let i = 0; i < rows; i++) {
    widenRows(weights, columns, i, i + 1, row);
    let dot = 0;
    for (let j = 0; j < columns; j++) dot += Math.abs(row[j] as number) * (v[j] as number);
    squares += dot * dot;
    for (let j = 0; j < columns; j++) {
      product[j] = (product[j] as number) + dot * Math.abs(row[j] as number);
    }
    if ((breath += columns) < sliceElements) continue;
    breath = 0;
    await setImmediate();
    throwIfCancelled(signal);
  }
  return { squares, product };
}

const maxSteps = 1000;
/** On σ₁², relative. */
const tolerance = 1e-8;

/**
 * σ₁² of |W| by power iteration from the column sums: ‖ |W| v ‖² of a unit v close to the singular vector is off only by
 * the square of their distance, so a few passes do.
 * @throws cancelled
 */
export async function firstSingularSquare(
  weights: FloatRows,
  rows: number,
  columns: number,
  { total, absolute }: Pick<TeacherSums, 'total' | 'absolute'>,
  signal?: AbortSignal,
): Promise<number> {
  if (total === 0) return 0;
  let direction = absolute;
  let square = 0;
  let before = Infinity;
  const typical = Math.sqrt(total / (rows * columns));
  for (let step = 0; step < maxSteps; step++) {
    throwIfCancelled(signal);
    const v = unit(direction);
    const { squares, product } = await absoluteStep(weights, rows, columns, v, typical, signal);
    const next = squares / v.reduce((sum, x) => sum + x * x, 0);
    const change = Math.abs(next - square);
    square = Math.max(square, next);
    // What is left to gain is the rest of a geometric series.
    const rate = change / before;
    if (
      step > 0 &&
      (change <= tolerance * square || (rate < 1 && (change * rate) / (1 - rate) <= tolerance * square))
    )
      break;
    before = step === 0 ? Infinity : change;
    direction = product;
  }
  return square;
}

/** @throws bad-value where a sum over a matrix is not finite */
export function checkSums({ total, error }: TeacherSums, name: string, path: string): void {
  if (Number.isFinite(total) && Number.isFinite(error)) return;
  throw new OneBitError(
    'bad-value',
    `${path}: ${name} has a NaN or infinity: the checkpoint is damaged or its training diverged; use an intact one.`,
  );
}

function unit(direction: Float64Array): Float32Array {
  const norm = Math.sqrt(direction.reduce((sum, x) => sum + x * x, 0));
  return Float32Array.from(direction, (x) => (norm > 0 ? x / norm : 0));
}
