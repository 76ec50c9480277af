import { expect, it } from 'vitest';
import type { InspectMatrixResult } from '../../../server/protocol/inspect.ts';
import { activationsCsv, matrixCsv } from '../../../server/protocol/matrix-csv.ts';

const profile = { length: 5, values: [1.5, 2.5, 1 / 3] };
const held: InspectMatrixResult['g'] = {
  profile,
  linear: { scale: 'linear', edges: [0, 1, 2], counts: [3, 2] },
  log: { scale: 'log', edges: [0.1, 10], counts: [5] },
  ...{ negative: 0, zero: 0, extremes: [{ index: 4, value: -2 }] },
};

it('has a value a line, with the places that it is of', () => {
  const matrix = {
    ...{ statistics: {}, rowPositive: profile, columnPositive: { length: 1, values: [0.5] } },
    ...{ g: held, h: held, spectrum: [0.8, 0.1] },
  } as unknown as InspectMatrixResult;
  const lines = matrixCsv(matrix).split('\n');
  expect(lines.slice(0, 8)).toEqual([
    'series,from,to,value',
    // Means of two, the last of one.
    'g,0,1,1.5',
    'g,2,3,2.5',
    'g,4,4,0.3333333333333333',
    'g.linear,0,1,3',
    'g.linear,1,2,2',
    'g.log,0.1,10,5',
    'g.extremes,4,4,-2',
  ]);
  expect(lines.slice(15)).toEqual([
    'columnPositive,0,0,0.5',
    ...['rowPositive,0,1,1.5', 'rowPositive,2,3,2.5', 'rowPositive,4,4,0.3333333333333333'],
    ...['spectrum,1,1,0.8', 'spectrum,2,2,0.1', ''],
  ]);
});

it('has what went through every matrix, the teacher only where there was one', () => {
  const one = { name: 'model.layers.0.mlp.up_proj', inputRms: 0.5, outputRms: 2 };
  expect(activationsCsv({ matrices: [one] })).toBe(
    'name,inputRms,outputRms\nmodel.layers.0.mlp.up_proj,0.5,2\n',
  );
  const compared = { ...one, teacherError: 0.25, teacherInputRms: 1, teacherOutputRms: 4 };
  expect(activationsCsv({ matrices: [compared] })).toContain(
    'name,inputRms,outputRms,teacherError,teacherInputRms,teacherOutputRms\n',
  );
});
