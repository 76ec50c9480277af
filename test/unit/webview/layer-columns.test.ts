import { describe, expect, it } from 'vitest';
import type { InspectLayersResult, LayerStatistics } from '../../../server/protocol/inspect.ts';
import { layerColumns, layersSummary, nextSort, sortLayers } from '../../../webview/layers/layer-columns.ts';

function layer(name: string, more: Partial<LayerStatistics> = {}): LayerStatistics {
  return {
    name,
    layer: 0,
    projection: name.split('.').at(-1) ?? '',
    rows: 8,
    columns: 8,
    positiveShare: 0.5,
    rowBalance: { mean: 0.5, std: 0, min: 0.5, max: 0.5 },
    columnBalance: { mean: 0.5, std: 0, min: 0.5, max: 0.5 },
    outlierInputs: [],
    g: { mean: 1, std: 0, min: 1, max: 1 },
    h: { mean: 1, std: 0, min: 1, max: 1 },
    ...more,
  };
}

const compared = (relativeError: number) => ({
  teacher: { relativeError, cosine: 0.8, signAgreement: 0.9, energyShare: 0.6 },
});

const layers = [
  layer('model.layers.2.mlp.up_proj', { positiveShare: 0.52, rows: 16, ...compared(0.5) }),
  layer('model.layers.10.mlp.up_proj', { positiveShare: 0.48 }),
  layer('model.layers.11.mlp.up_proj', { positiveShare: 0.5, ...compared(0.7) }),
];
const rest = { recurringOutliers: [], cached: false };
const result: InspectLayersResult = { model: 'm', teacher: 't', layers, ...rest };
const columns = layerColumns(result.layers);
const names = (sorted: LayerStatistics[]) => sorted.map((one) => one.name.split('.')[2]);

describe('sorting the layers', () => {
  it('keeps the order of the model without a sort, and under a column that is not there', () => {
    expect(sortLayers(layers, columns, undefined)).toEqual(layers);
    expect(sortLayers(layers, columns, { column: 'gone', descending: true })).toEqual(layers);
  });

  it('sorts numbers as numbers', () => {
    expect(names(sortLayers(layers, columns, { column: 'positiveShare', descending: false }))).toEqual([
      '10',
      '11',
      '2',
    ]);
  });

  it('sorts names in the order of the model, not of the alphabet', () => {
    expect(names(sortLayers(layers, columns, { column: 'name', descending: false }))).toEqual([
      '2',
      '10',
      '11',
    ]);
    expect(names(sortLayers(layers, columns, { column: 'name', descending: true }))).toEqual([
      '11',
      '10',
      '2',
    ]);
  });

  it('puts rows without a value last, in both directions', () => {
    const by = (descending: boolean) =>
      names(sortLayers(layers, columns, { column: 'relativeError', descending }));
    expect(by(false)).toEqual(['2', '11', '10']);
    expect(by(true)).toEqual(['11', '2', '10']);
  });

  it('goes round: ascending, descending, as in the model', () => {
    const first = nextSort(undefined, 'g.mean');
    const second = nextSort(first, 'g.mean');
    expect([first, second, nextSort(second, 'g.mean')]).toEqual([
      { column: 'g.mean', descending: false },
      { column: 'g.mean', descending: true },
      undefined,
    ]);
    expect(nextSort(second, 'h.mean')).toEqual({ column: 'h.mean', descending: false });
  });
});

describe('the columns', () => {
  it('speak of the teacher only when there was one', () => {
    const plain = layerColumns([layer('model.layers.0.mlp.up_proj')]);
    expect(plain.map((column) => column.id)).not.toContain('relativeError');
    expect(columns.map((column) => column.id)).toContain('relativeError');
  });
});

describe('the summary', () => {
  it('weighs by the number of signs', () => {
    // 128 signs at 0.52 and 64 at 0.48: (128·0.52 + 64·0.48) / 192
    expect(layersSummary(layers.slice(0, 2))).toBe('2 matrices · 192 signs · 50.67% are +1');
  });

  it('has the mean error only when every matrix has one', () => {
    expect(layersSummary([layers[0] ?? layer('')])).toContain(
      '1 matrix · 128 signs · 52.00% are +1 · mean error 0.5000',
    );
  });
});
