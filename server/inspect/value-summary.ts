import type { InspectMatrixResult } from '../protocol/inspect.ts';

const maxProfile = 1024;
const bins = 64;
const maxExtremes = 16;

/** Values along one side of a matrix, as at most 1024 means of runs of equal length (the last may be shorter). */
export function profile(values: ArrayLike<number>): InspectMatrixResult['rowPositive'] {
  const run = Math.ceil(values.length / maxProfile);
  const means: number[] = [];
  for (let start = 0; start < values.length; start += run) {
    const end = Math.min(values.length, start + run);
    let sum = 0;
    for (let i = start; i < end; i++) sum += values[i] as number;
    means.push(sum / (end - start));
  }
  return { length: values.length, values: means };
}

/** What g or h holds: profile, histograms of the values and of log |value|, counts, and the largest. */
export function summariseValues(values: Float32Array): InspectMatrixResult['g'] {
  const sizes = Float32Array.from(values, Math.abs);
  const nonZero = sizes.filter((size) => size > 0);
  const log = histogram(Float64Array.from(nonZero, Math.log10));
  return {
    profile: profile(values),
    linear: { scale: 'linear', ...histogram(Float64Array.from(values)) },
    log: { scale: 'log', edges: log.edges.map((edge) => 10 ** edge), counts: log.counts },
    negative: values.filter((value) => value < 0).length,
    zero: values.length - nonZero.length,
    extremes: Array.from(values, (value, index) => ({ index, value }))
      .sort((a, b) => Math.abs(b.value) - Math.abs(a.value) || a.index - b.index)
      .slice(0, maxExtremes),
  };
}

/** Counts in 64 bins of equal width from the smallest to the largest value, both included; none where nothing is. */
function histogram(values: Float64Array): { edges: number[]; counts: number[] } {
  if (values.length === 0) return { edges: [], counts: [] };
  let [min, max] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < min) min = value;
    if (value > max) max = value;
  }
  const width = (max - min) / bins;
  if (!(width > 0)) return { edges: [min, max], counts: [values.length] };
  const counts = new Array<number>(bins).fill(0);
  for (const value of values) {
    const bin = Math.min(bins - 1, Math.floor((value - min) / width));
    counts[bin] = (counts[bin] as number) + 1;
  }
  return { edges: Array.from({ length: bins + 1 }, (_, i) => (i === bins ? max : min + i * width)), counts };
}
