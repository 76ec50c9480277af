import { describe, expect, it } from 'vitest';
import type { LayerStatistics } from '../../../server/protocol/inspect.ts';
import { colourScale } from '../../../webview/layers/colour-scale.ts';
import { drawingSvg } from '../../../webview/layers/drawing.ts';
import { chartsDrawing, type DrawingColours, mapDrawing } from '../../../webview/layers/layer-drawings.ts';
import { layerMetrics } from '../../../webview/layers/layer-metrics.ts';

const colours: DrawingColours = {
  background: [0, 0, 0],
  text: [250, 250, 250],
  faint: [150, 150, 150],
  high: [0, 0, 200],
  low: [200, 0, 0],
};

function layer(index: number, projection: string, positiveShare: number): LayerStatistics {
  const even = { mean: 0.5, std: 0, min: 0.5, max: 0.5 };
  return {
    ...{ name: `model.layers.${index}.${projection}`, layer: index, projection, rows: 8, columns: 8 },
    ...{ positiveShare, rowBalance: even, columnBalance: even, outlierInputs: [], g: even, h: even },
  };
}

const layers = [
  layer(0, 'mlp.up_proj', 0.6),
  layer(0, 'mlp.down_proj', 0.5),
  layer(1, 'mlp.up_proj', 0.4),
  layer(1, 'mlp.down_proj', 0.55),
];

describe('the map as a picture', () => {
  const metric = layerMetrics(layers).find(({ id }) => id === 'positiveShare');
  if (metric === undefined) throw new Error('There is no such number.');
  const scale = colourScale(layers.map(metric.key), metric);

  it('has a cell of the right colour for every matrix, in its place', () => {
    const { shapes } = mapDrawing([{ title: 'one', layers }], metric, scale, colours);
    const cells = shapes.filter((shape) => shape.kind === 'rect' && shape.width > 10);
    expect(cells.map((cell) => (cell.kind === 'rect' ? cell.fill : ''))).toEqual([
      // up of both layers, then down: all the way to one colour and to the other, none, half way.
      ...['rgb(0, 0, 200)', 'rgb(200, 0, 0)', 'rgb(0, 0, 16)', 'rgb(0, 0, 108)'],
    ]);
    const [first, second, third] = cells;
    expect(second?.y).toBe(first?.y);
    expect(second?.x).toBeGreaterThan(first?.x ?? NaN);
    expect(third?.x).toBe(first?.x);
    expect(third?.y).toBeGreaterThan(first?.y ?? NaN);
  });

  it('has nothing outside of it, two maps below each other, and the ends of the scale', () => {
    const maps = ['one', 'two'].map((title) => ({ title, layers }));
    const drawing = mapDrawing(maps, metric, scale, colours);
    for (const { x, y } of drawing.shapes) {
      expect(x).toBeLessThan(drawing.width);
      expect(y).toBeLessThan(drawing.height);
    }
    const svg = drawingSvg(drawing);
    for (const text of ['one: +1 signs', 'two: +1 signs', '40.00%', '60.00%'])
      expect(svg).toContain(`>${text}<`);
    expect(svg.match(/<rect /g)).toHaveLength(1 + 8 + 40);
  });
});

describe('a drawing as SVG', () => {
  it('has names from outside as text', () => {
    const evil = '<script>alert("1")</script>&amp;';
    const svg = drawingSvg(
      chartsDrawing(
        evil,
        [
          {
            title: 'g',
            chart: {
              ...{ values: [1, 2], other: [2, 1], at: String, text: String },
              ...{ ends: ['0', '1'] as [string, string], summary: '1 … 2' },
            },
          },
        ],
        colours,
      ),
    );
    expect(svg).not.toContain('<script');
    expect(svg).toContain('&lt;script>alert(&quot;1&quot;)&lt;/script>&amp;amp;');
    expect(svg.match(/<path /g)).toHaveLength(2);
  });
});
