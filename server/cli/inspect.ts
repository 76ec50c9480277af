import type { Command } from 'commander';
import { modelFolder } from '../checkpoint/starter.ts';
import { inspectLayers } from '../inspect/layers.ts';
import type { LayerStatistics } from '../protocol/inspect.ts';
import { progressOutput } from './progress-output.ts';
import { processSignal } from './signals.ts';
import { table } from './table.ts';

/** `onebit inspect`: what each 1-bit matrix of a model looks like. */
export function register(program: Command): void {
  program
    .command('inspect')
    .description('Layer by layer: sign balance, g and h, and against a teacher the reconstruction error.')
    .requiredOption('--model <dir>', '1-bit checkpoint, or starter')
    .option('--teacher <dir>', 'the full-precision checkpoint that it came from')
    .option('--json', 'print JSON')
    .action(async ({ model, teacher, json }: { model: string; teacher?: string; json?: boolean }) => {
      const result = await inspectLayers(modelFolder(model), {
        teacher: teacher === undefined ? undefined : modelFolder(teacher),
        signal: processSignal(),
        onProgress: progressOutput(json === true ? 'none' : 'auto'),
      });
      process.stdout.write(json === true ? `${JSON.stringify(result)}\n` : asText(result.layers));
    });
}

function asText(layers: LayerStatistics[]): string {
  const spread = ({ mean, std }: { mean: number; std: number }) =>
    `${mean.toPrecision(3)} ± ${std.toPrecision(2)}`;
  const share = (value: number | undefined) => (value === undefined ? '' : `${(100 * value).toFixed(2)}%`);
  const head = ['matrix', 'size', 'positive', 'g', 'h', 'error', 'same sign'];
  const rows = layers.map((layer) => [
    layer.name,
    `${layer.rows} × ${layer.columns}`,
    share(layer.positiveShare),
    spread(layer.g),
    spread(layer.h),
    layer.teacher === undefined ? '' : layer.teacher.relativeError.toFixed(4),
    share(layer.teacher?.signAgreement),
  ]);
  // Without a teacher the last two columns would be empty.
  const columns = head.map((_, c) => c).filter((c) => rows.some((row) => row[c] !== ''));
  return table([head, ...rows].map((row) => columns.map((c) => row[c] ?? '')));
}
