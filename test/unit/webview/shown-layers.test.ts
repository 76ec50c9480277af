import { describe, expect, it } from 'vitest';
import type { InspectLayersResult, LayerStatistics } from '../../../server/protocol/inspect.ts';
import { shownLayers } from '../../../webview/layers/shown-layers.ts';

function layer(index: number, positiveShare: number, more: Partial<LayerStatistics> = {}): LayerStatistics {
  const even = { mean: 0.5, std: 0, min: 0.5, max: 0.5 };
  return {
    ...{ name: `model.layers.${index}.mlp.up_proj`, layer: index, projection: 'mlp.up_proj' },
    ...{ rows: 8, columns: 8, positiveShare, rowBalance: even, columnBalance: even, outlierInputs: [] },
    ...{ g: even, h: even },
    ...more,
  };
}

const result = (model: string, layers: LayerStatistics[]): InspectLayersResult => ({
  ...{ model, layers, recurringOutliers: [], cached: false },
});

const other = { signAgreement: 0.9, gChange: 0.1, hChange: 0.2 };
const before = result('a', [layer(0, 0.5), layer(1, 0.5), layer(2, 0.5)]);
const after = result('b', [layer(0, 0.5, { other }), layer(1, 0.53, { other }), layer(2, 0.49, { other })]);

describe('layers beside another checkpoint', () => {
  it('have their values, and the changes with the largest marked', () => {
    const shown = shownLayers({ result: after, before }, false);
    const column = shown.columns.find(({ id }) => id === 'positiveShare');
    expect(after.layers.map((one) => column?.text(one))).toEqual(['50.00%', '53.00%', '49.00%']);
    expect(after.layers.map((one) => column?.change?.(one))).toEqual([
      { text: '0', marked: false },
      { text: '+3.00%', marked: true },
      { text: '−1.00%', marked: false },
    ]);
    // What is a comparison already has no change.
    expect(shown.columns.find(({ id }) => id === 'signFlips')?.change).toBeUndefined();
  });

  it('are marked nowhere where nothing has changed', () => {
    const shown = shownLayers({ result: before, before }, false);
    for (const column of shown.columns) {
      for (const one of before.layers) expect(column.change?.(one)?.marked ?? false).toBe(false);
    }
  });

  it('are changes where these are asked for, colours from zero both ways', () => {
    const shown = shownLayers({ result: after, before }, true);
    const metric = shown.metrics.find(({ id }) => id === 'positiveShare');
    expect(metric?.label).toBe('Δ +1 signs');
    expect(metric?.middle).toBe(0);
    expect(metric?.key(after.layers[1] as LayerStatistics)).toBeCloseTo(0.03);
    expect(shown.metrics.find(({ id }) => id === 'signFlips')?.label).toBe('Sign flips');
  });

  it('are as they are without another', () => {
    const shown = shownLayers({ result: after }, true);
    expect(shown.differences).toBe(false);
    expect(shown.columns.every(({ change }) => change === undefined)).toBe(true);
  });
});
