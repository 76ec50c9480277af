import { throwIfCancelled } from '../protocol/error.ts';
import type { FloatRows } from '../svid/float-rows.ts';
import { absoluteStep } from './teacher-comparison.ts';

const maxSteps = 600;
/** Steps between two looks at the singular values. */
const checkEvery = 8;
/** On each singular value, as a part of ‖W‖. */
const tolerance = 1e-7;
/** What f32 arithmetic leaves of a vector that should be zero, as a part of ‖W‖²: values under 1e-4 ‖W‖ drown in it. */
const noise = 1e-7;

export interface SpectrumOptions {
  signal?: AbortSignal;
  /** Steps done, and at most. */
  onStep?: (done: number, total: number) => void;
}

/**
 * The largest `count` singular values of |W|, largest first, by the Lanczos process on |W|ᵀ|W| with full
 * reorthogonalisation: each step is one pass over W, and T = QᵀAQ is tridiagonal with their squares at the end of its
 * spectrum. Random matrices have a dense bulk below σ₁, where subspace iteration would take thousands of passes.
 * @param start where the first vector points, `[columns]`: the column sums of |W|
 * @param total ‖W‖²
 * @throws cancelled
 */
export async function singularValues(
  weights: FloatRows,
  rows: number,
  columns: number,
  count: number,
  { start, total }: { start: Float64Array; total: number },
  options: SpectrumOptions = {},
): Promise<number[]> {
  const wanted = Math.min(count, rows, columns);
  if (total === 0) return new Array<number>(wanted).fill(0);
  const typical = Math.sqrt(total / (rows * columns));
  const steps = Math.min(maxSteps, columns);
  const basis: Float64Array[] = [];
  const [diagonal, beside]: [number[], number[]] = [[], []];
  let next = unit(start) ?? anyDirection(columns, 0);
  let found: number[] = [];
  while (basis.length < steps) {
    throwIfCancelled(options.signal);
    options.onStep?.(basis.length, steps);
    basis.push(next);
    const v = Float32Array.from(next);
    const { product } = await absoluteStep(weights, rows, columns, v, typical, options.signal);
    diagonal.push(dot(next, product));
    orthogonalise(product, basis);
    const norm = Math.sqrt(dot(product, product));
    if (basis.length === steps || (basis.length >= wanted && basis.length % checkEvery === 0)) {
      const squares = largestEigenvalues(diagonal, beside, wanted);
      const now = squares.map((square) => Math.sqrt(Math.max(0, square)));
      const moved = Math.max(...now.map((value, i) => Math.abs(value - (found[i] ?? 0))));
      found = now;
      if (moved <= tolerance * Math.sqrt(total)) break;
    }
    // All that the start can reach is found: another direction shows equal singular values, and zeros.
    const exhausted = norm <= noise * total;
    beside.push(exhausted ? 0 : norm);
    if (exhausted) {
      const fresh = anyDirection(columns, basis.length);
      orthogonalise(fresh, basis);
      next = unit(fresh) ?? fresh;
    } else next = product.map((x) => x / norm);
  }
  return found;
}

/**
 * The largest eigenvalues of a symmetric tridiagonal matrix by bisection: the number of negative pivots of T − xI is
 * the number of eigenvalues under x (Sylvester).
 */
export function largestEigenvalues(diagonal: number[], beside: number[], count: number): number[] {
  const n = diagonal.length;
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < n; i++) {
    const reach = Math.abs(beside[i - 1] ?? 0) + Math.abs(i < n - 1 ? (beside[i] ?? 0) : 0);
    low = Math.min(low, (diagonal[i] as number) - reach);
    high = Math.max(high, (diagonal[i] as number) + reach);
  }
  const under = (x: number): number => {
    let negative = 0;
    let pivot = 1;
    for (let i = 0; i < n; i++) {
      const off = i === 0 ? 0 : (beside[i - 1] as number);
      pivot = (diagonal[i] as number) - x - (off * off) / pivot;
      if (pivot === 0) pivot = Number.MIN_VALUE * 2 ** 60;
      if (pivot < 0) negative++;
    }
    return negative;
  };
  return Array.from({ length: Math.min(count, n) }, (_, k) => {
    let [a, b] = [low, high];
    for (let step = 0; step < 100 && b - a > 1e-15 * Math.max(Math.abs(a), Math.abs(b)); step++) {
      const middle = (a + b) / 2;
      if (n - under(middle) > k) a = middle;
      else b = middle;
    }
    return (a + b) / 2;
  });
}

/** Takes out what lies in the basis. Twice: once leaves what rounding brought back. */
function orthogonalise(vector: Float64Array, basis: Float64Array[]): void {
  for (let pass = 0; pass < 2; pass++) {
    for (const one of basis) add(vector, one, -dot(one, vector));
  }
}

/** A direction that is the same every time and special in no way. */
function anyDirection(columns: number, seed: number): Float64Array {
  let state = (seed + 1) * 2654435761;
  return Float64Array.from({ length: columns }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state / 2 ** 31;
  });
}

function unit(vector: Float64Array): Float64Array | undefined {
  const norm = Math.sqrt(dot(vector, vector));
  return norm > 0 ? vector.map((x) => x / norm) : undefined;
}

function dot(x: Float64Array, y: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += (x[i] as number) * (y[i] as number);
  return sum;
}

function add(to: Float64Array, vector: Float64Array, times: number): void {
  for (let i = 0; i < to.length; i++) to[i] = (to[i] as number) + times * (vector[i] as number);
}
