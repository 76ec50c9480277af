import { expect, it } from 'vitest';
import { outlierInputs, recurringOutliers } from '../../../server/inspect/outliers.ts';
import type { LayerStatistics } from '../../../server/protocol/inspect.ts';
import { plainOutliers } from '../../reference/matrix-statistics.ts';

it('an outlier channel passes four times the median, whatever its sign; 32 at most', () => {
  const g = new Float32Array(1000).fill(0.5);
  g[7] = -4;
  g[900] = 2.5;
  g[3] = 2; // exactly four times
  expect(outlierInputs(g)).toEqual([
    { channel: 7, ratio: 8 },
    { channel: 900, ratio: 5 },
  ]);
  g.fill(3, 100, 200);
  expect(outlierInputs(g)).toHaveLength(32);
  expect(outlierInputs(g)).toEqual(plainOutliers(g));
  expect(outlierInputs(new Float32Array(8))).toEqual([]);
});

it('channels recur among matrices that read the same kind of input', () => {
  const layer = (name: string, columns: number, channels: number[]) =>
    ({
      name,
      projection: name.split('.').slice(1).join('.'),
      columns,
      outlierInputs: channels.map((channel) => ({ channel, ratio: 9 })),
    }) as unknown as LayerStatistics;
  expect(
    recurringOutliers([
      layer('0.self_attn.q_proj', 64, [5, 9]),
      layer('0.self_attn.o_proj', 64, [5, 7]),
      layer('0.mlp.up_proj', 64, [9]),
      layer('0.mlp.down_proj', 88, [9]),
      layer('1.self_attn.q_proj', 64, [9]),
      layer('1.mlp.down_proj', 88, [9]),
    ]),
  ).toEqual([
    { columns: 64, channel: 9, matrices: ['0.self_attn.q_proj', '0.mlp.up_proj', '1.self_attn.q_proj'] },
    { columns: 88, channel: 9, matrices: ['0.mlp.down_proj', '1.mlp.down_proj'] },
  ]);
});
