import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { Option, type Command } from 'commander';
import { modelFolder } from '../checkpoint/starter.ts';
import { inspectActivations } from '../inspect/activations.ts';
import { LayersCache } from '../inspect/layers-cache.ts';
import { inspectLayers } from '../inspect/layers.ts';
import { inspectMatrix } from '../inspect/matrix.ts';
import { nativeAddon } from '../native/addon.ts';
import { stateFolder } from '../protocol/discovery.ts';
import { asOneBitError, OneBitError } from '../protocol/error.ts';
import type {
  InspectActivationsResult,
  InspectLayersResult,
  InspectMatrixResult,
  LayerStatistics,
} from '../protocol/inspect.ts';
import { layersCsv } from '../protocol/layers-csv.ts';
import { activationsCsv, matrixCsv } from '../protocol/matrix-csv.ts';
import { integer } from './arguments.ts';
import { progressOutput } from './progress-output.ts';
import { processSignal } from './signals.ts';
import { table } from './table.ts';

interface InspectArguments {
  model: string;
  teacher?: string;
  other?: string;
  matrix?: string;
  spectrum?: number;
  text?: string;
  threads?: number;
  cache: boolean;
  json?: boolean;
  csv?: boolean;
}

/** `onebit inspect`: what each 1-bit matrix of a model looks like. */
export function register(program: Command): void {
  program
    .command('inspect')
    .description(
      'Layer by layer: balance of the signs, g and h, outlier inputs; against a teacher the reconstruction error, ' +
        'cosine and energy share; against another checkpoint what has changed.',
    )
    .requiredOption('--model <dir>', '1-bit checkpoint, or starter')
    .option('--teacher <dir>', 'the full-precision checkpoint that it came from')
    .option('--other <dir>', 'another 1-bit checkpoint of its shape, to compare with')
    .option('--matrix <name>', 'everything about one matrix, e.g. model.layers.0.self_attn.q_proj')
    .option(
      '--spectrum <n>',
      'with --matrix and --teacher: the largest singular values of |W|',
      integer(1, 32),
    )
    .option('--text <file>', 'what goes through every matrix on this text, 512 tokens at most')
    .option('--threads <n>', 'threads of the kernels; default: one a core', integer(1, 256))
    .option('--no-cache', 'compute everything, and keep nothing')
    .addOption(new Option('--json', 'print JSON').conflicts('csv'))
    .option('--csv', 'print comma-separated values, numbers at full precision')
    .action(async (args: InspectArguments) => void process.stdout.write(await inspect(args)));
}

async function inspect(args: InspectArguments): Promise<string> {
  const { model, teacher, other, matrix, spectrum, json, csv } = args;
  if (args.threads !== undefined) nativeAddon()?.setThreads(args.threads);
  if (matrix === undefined && spectrum !== undefined) {
    throw new OneBitError('bad-request', '--spectrum is of one matrix: give --matrix.');
  }
  if (args.text !== undefined && (matrix !== undefined || other !== undefined)) {
    throw new OneBitError('bad-request', '--text goes with --model and --teacher only.');
  }
  const options = {
    teacher: teacher === undefined ? undefined : modelFolder(teacher),
    other: other === undefined ? undefined : modelFolder(other),
    signal: processSignal(),
    onProgress: progressOutput(json === true || csv === true ? 'none' : 'auto'),
  };
  if (matrix !== undefined) {
    const result = await inspectMatrix(modelFolder(model), matrix, { ...options, spectrum });
    if (json === true) return `${JSON.stringify(result)}\n`;
    return csv === true ? matrixCsv(result) : matrixText(result);
  }
  if (args.text !== undefined) {
    const result = await inspectActivations(modelFolder(model), await readText(args.text), options);
    if (json === true) return `${JSON.stringify(result)}\n`;
    return csv === true ? activationsCsv(result) : activationsText(result);
  }
  const folder = join(stateFolder(process.env, process.platform, homedir()), 'inspections');
  const cache = args.cache ? new LayersCache(folder) : undefined;
  const result = await inspectLayers(modelFolder(model), { ...options, cache });
  if (json === true) return `${JSON.stringify(result)}\n`;
  return csv === true ? layersCsv(result) : layersText(result);
}

const spread = ({ mean, std }: { mean: number; std: number }) =>
  `${mean.toPrecision(3)} ± ${std.toPrecision(2)}`;
const percent = (value: number | undefined) => (value === undefined ? '' : `${(100 * value).toFixed(2)}%`);
const decimal = (value: number | undefined) => value?.toFixed(4) ?? '';

/** Columns of the table; those that are empty everywhere are left out. */
const columns: [string, (layer: LayerStatistics) => string][] = [
  ['matrix', ({ name }) => name],
  ['size', ({ rows, columns: across }) => `${rows} × ${across}`],
  ['positive', ({ positiveShare }) => percent(positiveShare)],
  ['by row', ({ rowBalance }) => `± ${(100 * rowBalance.std).toFixed(2)}%`],
  ['by column', ({ columnBalance }) => `± ${(100 * columnBalance.std).toFixed(2)}%`],
  ['g', ({ g }) => spread(g)],
  ['h', ({ h }) => spread(h)],
  ['outliers', ({ outlierInputs }) => (outlierInputs.length === 0 ? '' : String(outlierInputs.length))],
  ['near zero', ({ nearZeroShare }) => percent(nearZeroShare)],
  ['error', ({ teacher }) => decimal(teacher?.relativeError)],
  ['cosine', ({ teacher }) => decimal(teacher?.cosine)],
  ['σ₁ energy', ({ teacher }) => percent(teacher?.energyShare)],
  ['same sign', ({ teacher }) => percent(teacher?.signAgreement)],
  ['turned', ({ other }) => percent(other === undefined ? undefined : 1 - other.signAgreement)],
  ['g change', ({ other }) => decimal(other?.gChange)],
  ['h change', ({ other }) => decimal(other?.hChange)],
];

function layersText({ layers, recurringOutliers }: InspectLayersResult): string {
  const shown = columns.filter(([, text]) => layers.some((layer) => text(layer) !== ''));
  const rows = layers.map((layer) => shown.map(([, text]) => text(layer)));
  const recurring = recurringOutliers.map(
    ({ channel, columns: across, matrices }) =>
      `Input channel ${channel} of ${across} is an outlier in ${matrices.length} matrices.\n`,
  );
  return table([shown.map(([head]) => head), ...rows]) + recurring.join('');
}

function matrixText({ statistics, g, h, spectrum }: InspectMatrixResult): string {
  const lines = [
    ...columns.map(([head, text]) => [head, text(statistics)]).filter(([, text]) => text !== ''),
    ...statistics.outlierInputs
      .slice(0, 8)
      .map(({ channel, ratio }) => [`input ${channel}`, `${ratio.toFixed(1)} times the median |g|`]),
    ...(['g', 'h'] as const).flatMap((vector) => {
      const { min, max } = statistics[vector];
      const { extremes, negative, zero } = vector === 'g' ? g : h;
      const largest = extremes.slice(0, 4).map(({ index, value }) => `[${index}] ${value.toPrecision(4)}`);
      return [
        [`${vector} from, to`, `${min.toPrecision(4)}, ${max.toPrecision(4)}`],
        [`${vector} negative, zero`, `${negative}, ${zero}`],
        [`${vector} largest`, largest.join('  ')],
      ];
    }),
    ...(spectrum ?? []).map((value, i) => [`σ${i + 1} / ‖W‖`, value.toFixed(6)]),
  ];
  return table(lines);
}

/** No more than can become 512 tokens. */
const maxCharacters = 20_000;

async function readText(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).slice(0, maxCharacters);
  } catch (error) {
    throw asOneBitError(error, path);
  }
}

function activationsText({ tokens, matrices }: InspectActivationsResult): string {
  const size = (value: number | undefined) => value?.toPrecision(4) ?? '';
  const columns = [
    ['matrix', 'input RMS', 'output RMS', "teacher's input", "teacher's output", 'error'],
    ...matrices.map((one) => [
      one.name,
      size(one.inputRms),
      size(one.outputRms),
      size(one.teacherInputRms),
      size(one.teacherOutputRms),
      size(one.teacherError),
    ]),
  ];
  const compared = matrices.some(({ teacherError }) => teacherError !== undefined);
  return `${tokens} tokens\n${table(compared ? columns : columns.map((row) => row.slice(0, 3)))}`;
}
