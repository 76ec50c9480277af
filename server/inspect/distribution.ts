import type { LayerStatistics } from '../protocol/inspect.ts';

/** Mean, standard deviation (of the whole, not a sample), smallest and largest. */
export function distribution(values: Float32Array | Float64Array): LayerStatistics['g'] {
  let [sum, min, max] = [0, Infinity, -Infinity];
  for (const value of values) {
    sum += value;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  const mean = sum / values.length;
  let squares = 0;
  for (const value of values) squares += (value - mean) ** 2;
  return { mean, std: Math.sqrt(squares / values.length), min, max };
}

/** Of the shares of +1, from how many of `size` signs are −1. */
export function positiveShares(negative: Uint32Array, size: number): Float64Array {
  return Float64Array.from(negative, (count) => 1 - count / size);
}
