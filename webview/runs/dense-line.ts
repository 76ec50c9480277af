/** How a line with more points than pixels is drawn: as the area between its extremes. */
import uPlot from 'uplot';

type Values = ArrayLike<number | null | undefined>;

/**
 * Whether most places that have something of a line have more than one value of it.
 * @param values the smallest and the largest value of each place in turn, as `thinLines` gives them
 */
export function isDense(values: Values): boolean {
  let [one, more] = [0, 0];
  for (let i = 0; i + 1 < values.length; i += 2) {
    if (hasValue(values[i + 1])) more++;
    else if (hasValue(values[i])) one++;
  }
  return more > one;
}

/**
 * Draws a dense line as one filled area, and any other as a line. Stroking is what a dense line costs: it goes up and
 * down in every place, and each stretch is outlined, joined and blended. The area has the same edges.
 * @param width of the line in CSS pixels: no place is thinner
 */
export function denseLine(colour: string, width: number): uPlot.Series.PathBuilder {
  const stroked = uPlot.paths.linear?.();
  return (plot, series, first, last) => {
    const values = plot.data[series] ?? [];
    if (!isDense(values)) return stroked?.(plot, series, first, last) ?? null;
    return { fill: area(plot, series, values, (width / 2) * uPlot.pxRatio), _fill: colour };
  };
}

/** Along the largest values, and back along the smallest. */
function area(plot: uPlot, series: number, values: Values, half: number): Path2D {
  const steps = plot.data[0];
  const scale = plot.series[series]?.scale ?? 'y';
  const path = new Path2D();
  const back: [x: number, y: number][] = [];
  for (let i = 0; i < values.length; i += 2) {
    const low = values[i];
    const [from, to] = [steps[i], steps[i + 1]];
    if (!hasValue(low) || from === undefined || to === undefined) continue;
    const x = plot.valToPos((from + to) / 2, 'x', true);
    path.lineTo(x, plot.valToPos(values[i + 1] ?? low, scale, true) - half);
    back.push([x, plot.valToPos(low, scale, true) + half]);
  }
  for (const [x, y] of back.reverse()) path.lineTo(x, y);
  path.closePath();
  return path;
}

function hasValue(value: number | null | undefined): value is number {
  return value !== null && value !== undefined;
}
