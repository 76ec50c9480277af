/**
 * The training operations once more, in plain float64 loops, to compare with: no tfjs, no gradients (the
 * tests take central differences of these). Matrices are row-major number arrays.
 */
export type Matrix = { rows: number; cols: number; values: Float64Array };

export function matrix(rows: number, cols: number, values?: ArrayLike<number>): Matrix {
  return {
    rows,
    cols,
    values: values === undefined ? new Float64Array(rows * cols) : Float64Array.from(values),
  };
}

const get = (m: Matrix, r: number, c: number) => m.values[r * m.cols + c] ?? NaN;

function map(m: Matrix, f: (value: number, row: number, col: number) => number): Matrix {
  const out = matrix(m.rows, m.cols);
  for (let r = 0; r < m.rows; r++)
    for (let c = 0; c < m.cols; c++) out.values[r * m.cols + c] = f(get(m, r, c), r, c);
  return out;
}

function row(m: Matrix, r: number): Float64Array {
  return m.values.subarray(r * m.cols, (r + 1) * m.cols);
}

const sum = (values: Float64Array) => values.reduce((total, value) => total + value, 0);

/** a bᵀ */
function timesTransposed(a: Matrix, b: Matrix): Matrix {
  const out = matrix(a.rows, b.rows);
  return map(out, (_, r, c) => {
    let total = 0;
    for (let i = 0; i < a.cols; i++) total += get(a, r, i) * get(b, c, i);
    return total;
  });
}

export function linear(x: Matrix, weight: Matrix, bias: Float64Array): Matrix {
  return map(timesTransposed(x, weight), (value, _, c) => value + (bias[c] ?? NaN));
}

/** With `signs` given, the latent weights only show through them: what the straight-through gradient pretends. */
export function signLinear(x: Matrix, signs: Matrix, g: Float64Array, h: Float64Array, eps: number): Matrix {
  const scaled = map(x, (value, _, c) => value * (g[c] ?? NaN));
  const z = map(timesTransposed(scaled, signs), (value, _, c) => value * (h[c] ?? NaN));
  const means = Array.from({ length: z.rows }, (_, r) => sum(row(z, r)) / z.cols);
  const variances = means.map((mean, r) => sum(row(z, r).map((value) => (value - mean) ** 2)) / z.cols);
  return map(z, (value, r) => (value - (means[r] ?? NaN)) / Math.sqrt((variances[r] ?? NaN) + eps));
}

export function signsOf(latent: Matrix): Matrix {
  return map(latent, (value) => (value >= 0 ? 1 : -1));
}

export function rmsNorm(x: Matrix, gain: Float64Array, eps: number): Matrix {
  const scale = Array.from({ length: x.rows }, (_, r) =>
    Math.sqrt(sum(row(x, r).map((value) => value * value)) / x.cols + eps),
  );
  return map(x, (value, r, c) => (value / (scale[r] ?? NaN)) * (gain[c] ?? NaN));
}

/** Rotates with complex numbers: pair (i, i + headDim/2) of position p turns by p · theta^(-2i/headDim). */
export function rope(x: Matrix, window: number, headDim: number, theta: number): Matrix {
  const half = headDim / 2;
  return map(x, (_, r, c) => {
    const inHead = c % headDim;
    const i = inHead % half;
    const start = c - inHead;
    const angle = (r % window) * theta ** ((-2 * i) / headDim);
    const re = get(x, r, start + i);
    const im = get(x, r, start + i + half);
    return inHead < half
      ? re * Math.cos(angle) - im * Math.sin(angle)
      : re * Math.sin(angle) + im * Math.cos(angle);
  });
}

export function causalAttention(
  q: Matrix,
  k: Matrix,
  v: Matrix,
  shape: { window: number; heads: number; kvHeads: number; headDim: number; ropeTheta: number },
): Matrix {
  const { window, heads, kvHeads, headDim } = shape;
  const turnedQ = rope(q, window, headDim, shape.ropeTheta);
  const turnedK = rope(k, window, headDim, shape.ropeTheta);
  const out = matrix(q.rows, q.cols);
  for (let r = 0; r < q.rows; r++) {
    const first = r - (r % window);
    for (let head = 0; head < heads; head++) {
      const kvHead = Math.floor((head * kvHeads) / heads);
      const weights: number[] = [];
      for (let s = first; s <= r; s++) {
        let score = 0;
        for (let i = 0; i < headDim; i++)
          score += get(turnedQ, r, head * headDim + i) * get(turnedK, s, kvHead * headDim + i);
        weights.push(Math.exp(score / Math.sqrt(headDim)));
      }
      const total = weights.reduce((a, b) => a + b, 0);
      for (let i = 0; i < headDim; i++) {
        let mixed = 0;
        weights.forEach((weight, s) => (mixed += (weight / total) * get(v, first + s, kvHead * headDim + i)));
        out.values[r * q.cols + head * headDim + i] = mixed;
      }
    }
  }
  return out;
}

export function swiglu(gate: Matrix, up: Matrix): Matrix {
  return map(gate, (value, r, c) => (value / (1 + Math.exp(-value))) * get(up, r, c));
}

export function embed(table: Matrix, ids: ArrayLike<number>): Matrix {
  return map(matrix(ids.length, table.cols), (_, r, c) => get(table, ids[r] ?? NaN, c));
}

function logSoftmax(logits: Matrix): Matrix {
  const logTotals = Array.from({ length: logits.rows }, (_, r) =>
    Math.log(sum(row(logits, r).map((value) => Math.exp(value)))),
  );
  return map(logits, (value, r) => value - (logTotals[r] ?? NaN));
}

export function crossEntropy(logits: Matrix, labels: ArrayLike<number>, mask: ArrayLike<number>): number {
  const logs = logSoftmax(logits);
  let total = 0;
  let count = 0;
  for (let r = 0; r < logits.rows; r++) {
    total -= (mask[r] ?? NaN) * get(logs, r, labels[r] ?? NaN);
    count += mask[r] ?? NaN;
  }
  return total / count;
}

export function softmaxKl(teacher: Matrix, student: Matrix): number {
  const p = logSoftmax(teacher);
  const q = logSoftmax(student);
  return sum(map(p, (value, r, c) => Math.exp(value) * (value - get(q, r, c))).values) / teacher.rows;
}

export function unitDistance(a: Matrix, b: Matrix): number {
  const unit = (m: Matrix) => {
    const norms = Array.from({ length: m.rows }, (_, r) => Math.hypot(...row(m, r)));
    return map(m, (value, r) => value / (norms[r] ?? NaN));
  };
  const ub = unit(b);
  return sum(map(unit(a), (value, r, c) => (value - get(ub, r, c)) ** 2).values) / a.rows;
}
