/** From which value to which a chart goes, and the value that its shapes stand on. */
export interface ChartScale {
  low: number;
  high: number;
  base: number;
}

/** A scale that all finite values and the base fit into; without a base the smallest value is it. */
export function chartScale(series: readonly (readonly number[])[], base?: number): ChartScale {
  let [low, high] = [base ?? Infinity, base ?? -Infinity];
  for (const values of series) {
    for (const value of values) {
      if (!Number.isFinite(value)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  if (low > high) [low, high] = [0, 0];
  return { low, high: high > low ? high : low + 1, base: base ?? low };
}

/** How far down a value is, in 0 … height. */
export function chartY(value: number, { low, high }: ChartScale, height: number): number {
  return height - (Math.min(high, Math.max(low, value)) - low) * (height / (high - low));
}

/** One shape, a step a value, filled between the values and the base. What is not finite stands on the base. */
export function stepArea(
  values: readonly number[],
  scale: ChartScale,
  width: number,
  height: number,
): string {
  const base = chartY(scale.base, scale, height);
  const steps = values.map((value, i) => {
    const y = Number.isFinite(value) ? chartY(value, scale, height) : base;
    return `V${short(y)}H${short(((i + 1) * width) / values.length)}`;
  });
  return `M0 ${short(base)}${steps.join('')}V${short(base)}Z`;
}

/** A line through the middles of the steps; it breaks where a value is not finite. */
export function stepLine(
  values: readonly number[],
  scale: ChartScale,
  width: number,
  height: number,
): string {
  let pen = 'M';
  const parts: string[] = [];
  values.forEach((value, i) => {
    if (!Number.isFinite(value)) {
      pen = 'M';
      return;
    }
    parts.push(`${pen}${short(((i + 0.5) * width) / values.length)} ${short(chartY(value, scale, height))}`);
    pen = 'L';
  });
  return parts.join('');
}

const short = (value: number) => String(Math.round(value * 100) / 100);
