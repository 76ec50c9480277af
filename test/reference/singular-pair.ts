/** All singular values, largest first, by the same rotations. */
export function singularValues(matrix: ArrayLike<number>, rows: number, columns: number): number[] {
  return jacobi(matrix, rows, columns)
    .a.map((column) => Math.sqrt(dot(column, column)))
    .sort((x, y) => y - x);
}

/**
 * The leading singular triple of a matrix, in float64, by one-sided Jacobi rotations (Hestenes): it
 * makes the columns orthogonal two by two, and shares no step with power iteration. Slow and plain,
 * to compare with.
 * @param matrix `[rows, columns]`, row-major
 */
export function leadingSingularTriple(
  matrix: ArrayLike<number>,
  rows: number,
  columns: number,
): { u: Float64Array; sigma: number; v: Float64Array } {
  if (columns > rows) {
    const { u, sigma, v } = leadingSingularTriple(transpose(matrix, rows, columns), columns, rows);
    return { u: v, sigma, v: u };
  }
  const { a, v } = jacobi(matrix, rows, columns);
  const norms = a.map((column) => Math.sqrt(dot(column, column)));
  const sigma = Math.max(...norms);
  const best = norms.indexOf(sigma);
  const left = (a[best] as Float64Array).map((x) => x / sigma);
  const right = v[best] as Float64Array;
  // Signs are free; for a non-negative matrix both vectors can be non-negative (Perron–Frobenius).
  const flip = left.reduce((sum, x) => sum + x, 0) < 0 ? -1 : 1;
  return { u: left.map((x) => flip * x), sigma, v: right.map((x) => flip * x) };
}

function transpose(matrix: ArrayLike<number>, rows: number, columns: number): Float64Array {
  const flipped = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) flipped[j * rows + i] = matrix[i * columns + j] as number;
  }
  return flipped;
}

/** Columns made orthogonal, and the rotations that did it. */
function jacobi(
  matrix: ArrayLike<number>,
  rows: number,
  columns: number,
): { a: Float64Array[]; v: Float64Array[] } {
  if (columns > rows) return jacobi(transpose(matrix, rows, columns), columns, rows);
  const a = Array.from({ length: columns }, (_, j) =>
    Float64Array.from({ length: rows }, (_, i) => matrix[i * columns + j] as number),
  );
  const v = Array.from({ length: columns }, (_, j) => {
    const unit = new Float64Array(columns);
    unit[j] = 1;
    return unit;
  });
  for (let sweep = 0; sweep < 60; sweep++) {
    let worst = 0;
    for (let p = 0; p < columns - 1; p++) {
      for (let q = p + 1; q < columns; q++) {
        const ap = a[p] as Float64Array;
        const aq = a[q] as Float64Array;
        const alpha = dot(ap, ap);
        const beta = dot(aq, aq);
        const gamma = dot(ap, aq);
        if (gamma === 0) continue;
        worst = Math.max(worst, Math.abs(gamma) / Math.sqrt(alpha * beta));
        const zeta = (beta - alpha) / (2 * gamma);
        const t = (zeta >= 0 ? 1 : -1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
        const cosine = 1 / Math.sqrt(1 + t * t);
        rotate(ap, aq, cosine, cosine * t);
        rotate(v[p] as Float64Array, v[q] as Float64Array, cosine, cosine * t);
      }
    }
    if (worst < 1e-14) break;
  }
  return { a, v };
}

function dot(x: Float64Array, y: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += (x[i] as number) * (y[i] as number);
  return sum;
}

function rotate(x: Float64Array, y: Float64Array, cosine: number, sine: number): void {
  for (let i = 0; i < x.length; i++) {
    const xi = x[i] as number;
    const yi = y[i] as number;
    x[i] = cosine * xi - sine * yi;
    y[i] = sine * xi + cosine * yi;
  }
}
