import type { InspectLayersResult, LayerStatistics } from '../../../server/protocol/inspect.ts';
import { llama, teacher } from './models-fixture.ts';

const shapes: [string, number, number][] = [
  ['self_attn.q_proj', 4096, 4096],
  ['self_attn.k_proj', 4096, 4096],
  ['self_attn.v_proj', 4096, 4096],
  ['self_attn.o_proj', 4096, 4096],
  ['mlp.gate_proj', 11008, 4096],
  ['mlp.up_proj', 11008, 4096],
  ['mlp.down_proj', 4096, 11008],
];

/** Statistics of the shape of LLaMA-7B's, made up by formula. */
export function layers(count: number, compared: boolean): InspectLayersResult {
  const made: LayerStatistics[] = [];
  for (let layer = 0; layer < count; layer++) {
    shapes.forEach(([name, rows, columns], i) => {
      const wave = Math.sin(layer * 7 + i * 2.3);
      made.push({
        name: `model.layers.${layer}.${name}`,
        layer,
        projection: name,
        rows,
        columns,
        positiveShare: 0.5 + 0.0021 * wave,
        g: { mean: 0.118 + 0.01 * wave, std: 0.021 + 0.002 * wave, min: 0.0041, max: 0.61 + 0.1 * wave },
        h: { mean: 0.131 - 0.01 * wave, std: 0.034 - 0.003 * wave, min: 0.0009, max: 0.82 - 0.2 * wave },
        rowBalance: { mean: 0.5 + 0.0021 * wave, std: 0.008, min: 0.47, max: 0.53 },
        columnBalance: { mean: 0.5 + 0.0021 * wave, std: 0.006, min: 0.48, max: 0.52 },
        outlierInputs: wave > 0.9 ? [{ channel: 5, ratio: 5 + wave }] : [],
        ...(compared
          ? {
              teacher: {
                relativeError: 0.59 + 0.02 * wave,
                cosine: 0.8 - 0.01 * wave,
                signAgreement: 0.93 + 0.03 * wave,
                energyShare: 0.63 + 0.02 * wave,
              },
            }
          : {}),
      });
    });
  }
  return {
    model: llama.id,
    layers: made,
    recurringOutliers: [
      { columns: 4096, channel: 5, matrices: made.slice(0, 6).map(({ name }) => name) },
      { columns: 11008, channel: 1234, matrices: made.slice(6, 8).map(({ name }) => name) },
    ],
    cached: false,
    ...(compared ? { teacher: teacher.path } : {}),
  };
}
