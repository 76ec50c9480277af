import { open } from 'node:fs/promises';
import {
  curveAxes,
  curveNames,
  curveValue,
  isMeasured,
  type CurveAxis,
  type JobCurves,
} from '../protocol/curves.ts';
import type { Metric } from '../protocol/job.ts';
import { asOneBitError } from '../protocol/error.ts';
import { parseMetric } from './job-store.ts';

/** Bytes of metrics.jsonl that one answer is made of: about 15,000 steps. */
const pieceBytes = 4 << 20;

/**
 * The next points of a metrics.jsonl as columns. A line that is still being written is left for the next call;
 * one that a crash cut short is left out; a missing file is an empty one.
 * @param from bytes of the file that were read already
 */
export async function readCurves(path: string, from: number, most = pieceBytes): Promise<JobCurves> {
  const { text, end, complete } = await readPiece(path, from, most);
  const metrics = text.split('\n').flatMap((line) => {
    const metric = line === '' ? undefined : parseMetric(line);
    return metric === undefined ? [] : [metric];
  });
  return { points: metrics.length, next: end, complete, ...columnsOf(metrics) };
}

/** Whole lines from `from` on, and where they end. */
async function readPiece(
  path: string,
  from: number,
  most: number,
): Promise<{ text: string; end: number; complete: boolean }> {
  let file;
  try {
    file = await open(path, 'r');
  } catch (error) {
    const known = asOneBitError(error, path);
    if (known.code === 'not-found') return { text: '', end: from, complete: true };
    throw known;
  }
  try {
    const { size } = await file.stat();
    // A line longer than a piece (a run of very many layers) makes the piece longer.
    for (let length = Math.min(most, Math.max(0, size - from)); ; length *= 2) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, from);
      const read = buffer.subarray(0, bytesRead);
      const lines = read.lastIndexOf(10) + 1;
      const isAll = from + bytesRead >= size;
      if (lines > 0 || isAll) {
        return { text: read.toString('utf8', 0, lines), end: from + lines, complete: isAll };
      }
    }
  } finally {
    await file.close();
  }
}

function columnsOf(metrics: readonly Metric[]): Pick<JobCurves, 'axes' | 'columns' | 'measured'> {
  const columns: JobCurves['columns'] = {};
  for (const name of curveNames) {
    const values = Float32Array.from(metrics, (metric) => curveValue(metric, name));
    if (values.some((value) => !Number.isNaN(value))) columns[name] = base64(values);
  }
  return {
    axes: Object.fromEntries(
      curveAxes.map((axis) => [axis, base64(Float64Array.from(metrics, (metric) => metric[axis]))]),
    ) as Record<CurveAxis, string>,
    columns,
    measured: metrics.filter(isMeasured),
  };
}

function base64({ buffer }: Float32Array | Float64Array): string {
  return Buffer.from(buffer).toString('base64');
}
