import { indexAtOrAfter } from './run-curves.ts';

/** One line of a plot: rising steps, and a value for each; NaN where there is none. */
export interface Line {
  steps: ArrayLike<number>;
  values: ArrayLike<number>;
}

/**
 * Lines over the steps `from` to `to` as at most 2 × `buckets` points on common steps: the smallest and the largest
 * value of each line in each bucket, so that no peak is lost and drawing takes the same time for any number of points.
 * null where a line has nothing in a bucket. O(points between from and to).
 */
export function thinLines(
  lines: readonly Line[],
  from: number,
  to: number,
  buckets: number,
): { steps: number[]; values: (number | null)[][] } {
  const size = (to - from) / buckets;
  const steps: number[] = [];
  for (let i = 0; i < buckets; i++) steps.push(from + (i + 0.25) * size, from + (i + 0.75) * size);
  const values = lines.map((line) => {
    const thin = new Array<number | null>(2 * buckets).fill(null);
    const end = Math.min(line.steps.length, indexAtOrAfter(line.steps, to) + 1);
    // The points just outside as well, so that a line reaches the edge.
    for (let i = Math.max(0, indexAtOrAfter(line.steps, from) - 1); i < end; i++) {
      const value = line.values[i] ?? NaN;
      if (Number.isNaN(value)) continue;
      const bucket = Math.min(buckets - 1, Math.max(0, Math.floor(((line.steps[i] ?? 0) - from) / size)));
      const [low, high] = [thin[2 * bucket] ?? null, thin[2 * bucket + 1] ?? null];
      // One value alone stands once: twice, it would make a step of a slope.
      if (low === null) thin[2 * bucket] = value;
      else {
        thin[2 * bucket] = Math.min(low, value);
        thin[2 * bucket + 1] = Math.max(high ?? low, value);
      }
    }
    return thin;
  });
  return { steps, values };
}

/**
 * Exponential moving average without a bias at the start (as TensorBoard smooths): m ← w m + (1 − w) x, shown as
 * m / (1 − wⁿ). What is not finite is left as it is.
 * @param weight 0 (as measured) … below 1
 */
export function smooth(values: ArrayLike<number>, weight: number): ArrayLike<number> {
  if (weight === 0) return values;
  const smoothed = new Float32Array(values.length);
  let mean = 0;
  let power = 1;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? NaN;
    if (Number.isFinite(value)) {
      mean = weight * mean + (1 - weight) * value;
      power *= weight;
      smoothed[i] = mean / (1 - power);
    } else smoothed[i] = value;
  }
  return smoothed;
}
