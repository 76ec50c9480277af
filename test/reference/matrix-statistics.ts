/** Statistics of W ≈ S ⊙ (h gᵀ) by their formulas, in float64 and one element at a time. Shares no code with server/. */
export interface PlainMatrix {
  rows: number;
  columns: number;
  /** Any numbers; their signs count, zero as +1. `[rows, columns]` */
  signs: ArrayLike<number>;
  g: ArrayLike<number>;
  h: ArrayLike<number>;
}

export interface PlainDistribution {
  mean: number;
  std: number;
  min: number;
  max: number;
}

const sign = (x: number): number => (x < 0 ? -1 : 1);

export function plainDistribution(values: number[]): PlainDistribution {
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  const std = Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length);
  const min = values.reduce((least, x) => Math.min(least, x), Infinity);
  const max = values.reduce((most, x) => Math.max(most, x), -Infinity);
  return { mean, std, min, max };
}

/** Share of +1 in total, by row and by column. */
export function plainBalance({ rows, columns, signs }: PlainMatrix): {
  total: number;
  byRow: number[];
  byColumn: number[];
} {
  const byRow = new Array<number>(rows).fill(0);
  const byColumn = new Array<number>(columns).fill(0);
  let total = 0;
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      if (sign(signs[i * columns + j] as number) < 0) continue;
      total += 1 / (rows * columns);
      byRow[i] = (byRow[i] as number) + 1 / columns;
      byColumn[j] = (byColumn[j] as number) + 1 / rows;
    }
  }
  return { total, byRow, byColumn };
}

/** Channels whose |g| passes 4 times the median, largest first. */
export function plainOutliers(g: ArrayLike<number>): { channel: number; ratio: number }[] {
  const sizes = Array.from(g, Math.abs);
  const sorted = [...sizes].sort((a, b) => a - b);
  const n = sorted.length;
  const median =
    ((sorted[Math.floor((n - 1) / 2)] as number) + (sorted[Math.ceil((n - 1) / 2)] as number)) / 2;
  return sizes
    .map((size, channel) => ({ channel, ratio: size / median }))
    .filter(({ ratio }) => ratio > 4)
    .sort((a, b) => b.ratio - a.ratio)
    .slice(0, 32);
}

/** Against W `[rows, columns]`; σ₁² by `steps` of power iteration from ones. */
export function plainTeacher(
  { rows, columns, signs, g, h }: PlainMatrix,
  w: ArrayLike<number>,
  steps: number,
): { relativeError: number; cosine: number; signAgreement: number; energyShare: number } {
  let [error, norm, rebuiltNorm, product, same] = [0, 0, 0, 0, 0];
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const at = i * columns + j;
      const weight = w[at] as number;
      const rebuilt = sign(signs[at] as number) * (h[i] as number) * (g[j] as number);
      error += (weight - rebuilt) ** 2;
      norm += weight ** 2;
      rebuiltNorm += rebuilt ** 2;
      product += weight * rebuilt;
      if (sign(weight) === sign(signs[at] as number)) same++;
    }
  }
  return {
    relativeError: Math.sqrt(error / norm),
    cosine: product / Math.sqrt(norm * rebuiltNorm),
    signAgreement: same / (rows * columns),
    energyShare: plainFirstSquare(rows, columns, w, steps) / norm,
  };
}

function plainFirstSquare(rows: number, columns: number, w: ArrayLike<number>, steps: number): number {
  let v = new Float64Array(columns).fill(1 / Math.sqrt(columns));
  let square = 0;
  for (let step = 0; step < steps; step++) {
    const next = new Float64Array(columns);
    square = 0;
    for (let i = 0; i < rows; i++) {
      let dot = 0;
      for (let j = 0; j < columns; j++) dot += Math.abs(w[i * columns + j] as number) * (v[j] as number);
      square += dot * dot;
      for (let j = 0; j < columns; j++) {
        next[j] = (next[j] as number) + dot * Math.abs(w[i * columns + j] as number);
      }
    }
    const length = Math.sqrt(next.reduce((sum, x) => sum + x * x, 0));
    v = next.map((x) => x / length);
  }
  return square;
}
