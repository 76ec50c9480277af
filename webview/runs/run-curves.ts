import { curveNames, curveValue, type CurveName, type JobCurves } from '../../server/protocol/curves.ts';
import type { Metric } from '../../server/protocol/job.ts';

/** All points of a run as columns; NaN where a step has no such figure. */
export interface RunCurves {
  /** Strictly rising. */
  steps: Float64Array;
  seconds: Float64Array;
  values: Record<CurveName, Float32Array>;
}

export const noPoints: RunCurves = {
  steps: new Float64Array(0),
  seconds: new Float64Array(0),
  values: Object.fromEntries(curveNames.map((name) => [name, new Float32Array(0)])) as RunCurves['values'],
};

/** The points of one answer to `job/curves`. */
export function decodeCurves({ points, axes, columns }: JobCurves): RunCurves {
  return {
    steps: new Float64Array(bytesOf(axes.step)),
    seconds: new Float64Array(bytesOf(axes.seconds)),
    values: columnsOf((name) => {
      const column = columns[name];
      return column === undefined ? new Float32Array(points).fill(NaN) : new Float32Array(bytesOf(column));
    }),
  };
}

export function curvesOf(metrics: readonly Metric[]): RunCurves {
  return {
    steps: Float64Array.from(metrics, ({ step }) => step),
    seconds: Float64Array.from(metrics, ({ seconds }) => seconds),
    values: columnsOf((name) => Float32Array.from(metrics, (metric) => curveValue(metric, name))),
  };
}

/** A run that went back to a checkpoint repeats steps: the later points of a step stand. */
export function appendCurves(old: RunCurves, fresh: RunCurves): RunCurves {
  const first = fresh.steps[0];
  if (first === undefined) return old;
  const kept = indexAtOrAfter(old.steps, first);
  return {
    steps: join64(old.steps.subarray(0, kept), fresh.steps),
    seconds: join64(old.seconds.subarray(0, kept), fresh.seconds),
    values: columnsOf((name) => {
      const joined = new Float32Array(kept + fresh.steps.length);
      joined.set(old.values[name].subarray(0, kept));
      joined.set(fresh.values[name], kept);
      return joined;
    }),
  };
}

/** The first index whose value is not below; the length where there is none. */
export function indexAtOrAfter(rising: ArrayLike<number>, value: number): number {
  let [low, high] = [0, rising.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((rising[middle] ?? Infinity) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function columnsOf(make: (name: CurveName) => Float32Array): RunCurves['values'] {
  return Object.fromEntries(curveNames.map((name) => [name, make(name)])) as RunCurves['values'];
}

function join64(a: Float64Array, b: Float64Array): Float64Array {
  const joined = new Float64Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}

function bytesOf(base64: string): ArrayBuffer {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes.buffer;
}
