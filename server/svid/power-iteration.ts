import { setImmediate } from 'node:timers/promises';
import { throwIfCancelled } from '../protocol/error.ts';
import { widenRows, type FloatRows } from './float-rows.ts';
import type { FactorOutcome } from './svid.ts';

/** Elements between two breaths for the event loop: about 10 ms. */
const sliceElements = 1 << 22;

export interface PowerIterationOptions {
  tolerance: number;
  maxIterations: number;
  signal?: AbortSignal;
}

/**
 * The portable path of SVID, for machines without the addon: the same algorithm as
 * native/svid/rank_one.cc in plain TypeScript, with f64 sums. Yields to the event loop between slices.
 */
export async function factorPortably(
  matrix: FloatRows,
  rows: number,
  columns: number,
  { tolerance, maxIterations, signal }: PowerIterationOptions,
): Promise<FactorOutcome> {
  const row = new Float32Array(columns);
  let breath = 0;

  /** Calls `visit` with each row as f32; the row is only valid during the call. */
  async function eachRow(visit: (row: Float32Array, i: number) => void): Promise<void> {
    for (let i = 0; i < rows; i++) {
      widenRows(matrix, columns, i, i + 1, row);
      visit(row, i);
      if ((breath += columns) < sliceElements) continue;
      breath = 0;
      await setImmediate();
      throwIfCancelled(signal);
    }
  }

  const sums = new Float64Array(columns);
  let notFinite: { row: number; column: number } | undefined;
  await eachRow((w, i) => {
    for (let j = 0; j < columns; j++) {
      const value = w[j] as number;
      if (!Number.isFinite(value)) notFinite ??= { row: i, column: j };
      sums[j] = (sums[j] as number) + Math.abs(value);
    }
  });
  if (notFinite !== undefined) return { notFinite };

  // The direction starts from the column sums: close already, since |W| has no negative entry.
  const v = new Float64Array(columns);
  const u = new Float64Array(rows);
  let norm = turn(v, sums).norm;
  let iterations = 0;
  let before = 0;
  while (norm > 0 && iterations < maxIterations) {
    throwIfCancelled(signal);
    sums.fill(0);
    await eachRow((w, i) => {
      let dot = 0;
      for (let j = 0; j < columns; j++) dot += Math.abs(w[j] as number) * (v[j] as number);
      u[i] = dot;
      for (let j = 0; j < columns; j++) sums[j] = (sums[j] as number) + dot * Math.abs(w[j] as number);
    });
    const turned = turn(v, sums);
    norm = turned.norm;
    iterations++;
    // The steps shrink by (σ₂/σ₁)² each time: what is left to go is the rest of that series.
    const rate = before > 0 ? turned.moved / before : 1;
    if (turned.moved <= 0.03 * tolerance) break;
    if (rate < 1 && (turned.moved * rate) / (1 - rate) <= tolerance) break;
    before = turned.moved;
  }

  // u = |W| v has length σ. h = a·(u/σ) and g = (σ/a)·v have equal root mean squares for a² = σ·√(rows/columns).
  const sigma = Math.sqrt(u.reduce((sum, x) => sum + x * x, 0));
  const a = Math.sqrt(sigma * Math.sqrt(rows / columns));
  const h = Float32Array.from(u, (x) => (sigma > 0 ? (a * x) / sigma : 0));
  const g = Float32Array.from(v, (x) => (sigma > 0 ? (sigma / a) * x : 0));

  const rowBytes = Math.ceil(columns / 8);
  const signs = new Uint8Array(rows * rowBytes);
  let error = 0;
  let total = 0;
  await eachRow((w, i) => {
    const value = h[i] as number;
    for (let j = 0; j < columns; j++) {
      const weight = w[j] as number;
      const at = i * rowBytes + (j >>> 3);
      if (weight < 0) signs[at] = (signs[at] as number) | (1 << (j & 7));
      const difference = Math.abs(weight) - value * (g[j] as number);
      error += difference * difference;
      total += weight * weight;
    }
  });
  const relativeError = total > 0 ? Math.sqrt(error / total) : 0;
  return { result: { g, h, signs, relativeError, iterations } };
}

/** Sets v to the direction of `sums`; returns the norm that it had and how far v moved. */
function turn(v: Float64Array, sums: Float64Array): { norm: number; moved: number } {
  const norm = Math.sqrt(sums.reduce((sum, x) => sum + x * x, 0));
  if (norm === 0) return { norm, moved: 0 };
  let moved = 0;
  for (let j = 0; j < v.length; j++) {
    const to = (sums[j] as number) / norm;
    moved += (to - (v[j] as number)) ** 2;
    v[j] = to;
  }
  return { norm, moved: Math.sqrt(moved) };
}
