import { expect, it } from 'vitest';
import type { LayerStatistics } from '../../../server/protocol/inspect.ts';
import { layersCsv } from '../../../server/protocol/layers-csv.ts';

const flat = { mean: 0.5, std: 0.125, min: 0.25, max: 0.75 };
const layer: LayerStatistics = {
  name: 'model.layers.0.self_attn.q_proj',
  layer: 0,
  projection: 'self_attn.q_proj',
  rows: 8,
  columns: 16,
  positiveShare: 1 / 3,
  ...{ rowBalance: flat, columnBalance: flat, g: flat, h: flat },
  outlierInputs: [
    { channel: 3, ratio: 5.5 },
    { channel: 1, ratio: 4.25 },
  ],
};

it('has a line a matrix at full precision, and no column that would be empty', () => {
  const [head, line, ...rest] = layersCsv({ layers: [layer] }).split('\n');
  expect(head).toBe(
    'name,layer,projection,rows,columns,positiveShare,' +
      ['rowBalance', 'columnBalance', 'g', 'h']
        .map((vector) => `${vector}.mean,${vector}.std,${vector}.min,${vector}.max,`)
        .join('') +
      'outlierInputs',
  );
  const four = '0.5,0.125,0.25,0.75,';
  expect(line).toBe(
    `model.layers.0.self_attn.q_proj,0,self_attn.q_proj,8,16,0.3333333333333333,${four.repeat(4)}3:5.5 1:4.25`,
  );
  expect(rest).toEqual(['']);
});

it('leaves a cell empty where one matrix lacks what another has, and quotes what would break a line', () => {
  const other = { signAgreement: 0.75, gChange: 0.5, hChange: 0.25 };
  const csv = layersCsv({ layers: [layer, { ...layer, name: 'a "b",\nc', other, nearZeroShare: 0.0625 }] });
  expect(csv).toContain(',nearZeroShare,other.signAgreement,other.gChange,other.hChange\n');
  expect(csv).toContain(',3:5.5 1:4.25,,,,\n"a ""b"",\nc",');
  expect(csv.endsWith(',0.0625,0.75,0.5,0.25\n')).toBe(true);
});
