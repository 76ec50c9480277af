import { formatInteger } from '../page/format.ts';
import { chartScale, stepArea, stepLine } from './chart-path.ts';
import type { ColourScale } from './colour-scale.ts';
import type { Drawing, Shape } from './drawing.ts';
import { projections, shortKind } from './layer-columns.ts';
import type { LayerMetric, ShownLayer } from './layer-metrics.ts';
import type { Rgb } from './theme-colour.ts';
import type { ChartValues } from './value-chart.ts';

/** The theme's colours that pictures are made of. */
export interface DrawingColours {
  background: Rgb;
  text: Rgb;
  faint: Rgb;
  high: Rgb;
  low: Rgb;
}

const margin = 16;
const line = 18;
const cell = { width: 28, height: 20, gap: 2 };
const kindWidth = 48;

const css = ([red, green, blue]: Rgb) => `rgb(${red}, ${green}, ${blue})`;
const mix = (from: Rgb, to: Rgb, share: number): Rgb => {
  const at = (i: 0 | 1 | 2) => Math.round(from[i] + (to[i] - from[i]) * share);
  return [at(0), at(1), at(2)];
};

/** The colour of a share of the scale, as the map on the page has it; undefined where there is no value. */
export function shareColour(
  share: number | undefined,
  { background, high, low }: Pick<DrawingColours, 'background' | 'high' | 'low'>,
): Rgb | undefined {
  if (share === undefined) return undefined;
  return mix(background, share < 0 ? low : high, 0.08 + 0.92 * Math.abs(share));
}

/** The map as a picture, one below the other where there are two, with their scale. */
export function mapDrawing(
  maps: { title: string; layers: ShownLayer[] }[],
  metric: LayerMetric,
  scale: ColourScale,
  colours: DrawingColours,
): Drawing {
  const shapes: Shape[] = [];
  const [text, faint] = [css(colours.text), css(colours.faint)];
  let width = 320;
  let y = margin;
  for (const { title, layers } of maps) {
    const kinds = projections(layers);
    const numbers = [...new Set(layers.map(({ layer }) => layer))].sort((a, b) => a - b);
    const left = margin + kindWidth;
    width = Math.max(width, left + numbers.length * (cell.width + cell.gap) + margin);
    shapes.push({
      kind: 'text',
      x: margin,
      y: y + 12,
      text: `${title}: ${metric.label}`,
      fill: text,
      bold: true,
    });
    y += line + 4;
    numbers.forEach((number, i) =>
      shapes.push({
        ...{ kind: 'text', x: left + i * (cell.width + cell.gap) + 4, y: y + 12 },
        ...{ text: formatInteger(number), fill: faint },
      }),
    );
    y += line;
    kinds.forEach((kind, row) => {
      const top = y + row * (cell.height + cell.gap);
      shapes.push({ kind: 'text', x: margin, y: top + 14, text: shortKind(kind), fill: faint });
      for (const layer of layers) {
        if (layer.projection !== kind) continue;
        const colour = shareColour(scale.share(metric.key(layer)), colours);
        if (colour === undefined) continue;
        const x = left + numbers.indexOf(layer.layer) * (cell.width + cell.gap);
        shapes.push({ kind: 'rect', x, y: top, width: cell.width, height: cell.height, fill: css(colour) });
      }
    });
    y += kinds.length * (cell.height + cell.gap) + 12;
  }
  const steps = 40;
  const lowText = metric.format(scale.low);
  const from = margin + 8 * lowText.length + 8;
  shapes.push({ kind: 'text', x: margin, y: y + 11, text: lowText, fill: faint });
  for (let i = 0; i < steps; i++) {
    const part = (i + 0.5) / steps;
    const share = scale.middle === undefined ? part : 2 * part - 1;
    const fill = css(shareColour(share, colours) ?? colours.background);
    shapes.push({ kind: 'rect', x: from + 4 * i, y: y + 2, width: 4, height: 10, fill });
  }
  shapes.push({
    ...{ kind: 'text', x: from + 4 * steps + 8, y: y + 11 },
    ...{ text: metric.format(scale.high), fill: faint },
  });
  return { width, height: y + line + margin, background: css(colours.background), shapes };
}

/** Charts one below the other, with titles, ends and ranges. */
export function chartsDrawing(
  heading: string,
  charts: { title: string; chart: ChartValues }[],
  colours: DrawingColours,
): Drawing {
  const [text, faint, high] = [colours.text, colours.faint, colours.high].map(css) as [
    string,
    string,
    string,
  ];
  const [width, height] = [720, 110];
  const right = margin + width;
  const shapes: Shape[] = [
    { kind: 'text', x: margin, y: margin + 12, text: heading, fill: text, bold: true },
  ];
  let y = margin + 2 * line;
  for (const { title, chart } of charts) {
    const { values, other, base, ends, summary } = chart;
    const scale = chartScale(other === undefined ? [values] : [values, other], base);
    shapes.push(
      { kind: 'text', x: margin, y: y + 12, text: title, fill: text },
      { kind: 'text', x: right, y: y + 12, text: summary, fill: faint, end: true },
    );
    y += line;
    shapes.push({ kind: 'path', x: margin, y, d: stepArea(values, scale, width, height), fill: high });
    if (other !== undefined) {
      shapes.push({ kind: 'path', x: margin, y, d: stepLine(other, scale, width, height), stroke: text });
    }
    y += height;
    shapes.push(
      { kind: 'text', x: margin, y: y + 14, text: ends[0], fill: faint },
      { kind: 'text', x: right, y: y + 14, text: ends[1], fill: faint, end: true },
    );
    y += line + 14;
  }
  return { width: right + margin, height: y + margin, background: css(colours.background), shapes };
}
