// Arms of the distillation recipe side by side: the same steps, data, order and seeds, one difference each.
//   node test/bench/distill-arms.mjs --data FILE --held-out FILE [--teacher starter-teacher] [--preset small]
//     [--steps 400] [--seeds 0,1,2] [--arms svid,random,...] [--threads 2] [--measurements 10]
//     [--work test/output/distill-arms]
// Prints the table of docs/distillation.md, and writes it and the curves into the work folder (arms.md,
// arms.json). Runs that are done, or half done, are not done again: the same command continues.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const { values: options } = parseArgs({
  options: {
    data: { type: 'string', multiple: true },
    'held-out': { type: 'string' },
    teacher: { type: 'string', default: 'starter-teacher' },
    preset: { type: 'string', default: 'small' },
    steps: { type: 'string', default: '400' },
    window: { type: 'string', default: '256' },
    seeds: { type: 'string', default: '0,1,2' },
    arms: { type: 'string' },
    threads: { type: 'string', default: '2' },
    measurements: { type: 'string', default: '10' },
    work: { type: 'string', default: join(root, 'test', 'output', 'distill-arms') },
  },
});
const steps = Number(options.steps);
const blockSteps = Math.max(1, Math.round(steps / 10));

/** What differs from the preset; the first is what the others are compared with. */
const allArms = {
  svid: ['SVID start', []],
  ones: ['signs of the weights, g = h = 1', ['--start', 'ones']],
  random: ['random signs, g = h = 1', ['--start', 'random']],
  'latent-signs': ['latent weights of one size', ['--latent-start', 'signs']],
  'latent-large': ['latent weights three times as large', ['--latent-scale', '0.03']],
  'rate-half': ['half the learning rate', ['--learning-rate', '0.001']],
  'rate-double': ['twice the learning rate', ['--learning-rate', '0.004']],
  plain: ['straight through: plain', ['--straight-through', 'plain']],
  clipped: ['straight through: clipped', ['--straight-through', 'clipped']],
  'hidden-none': ['no hidden-state loss', ['--hidden-weight', '0']],
  'hidden-tenfold': ['hidden-state loss × 10', ['--hidden-weight', '0.48828125']],
  'hidden-all': ['hidden states of all layers', ['--hidden-layers', 'all']],
  frozen: [
    'embedding, norms, head frozen',
    ['--embeddings', 'frozen', '--norms', 'frozen', '--head', 'frozen'],
  ],
  blocks: [`block-wise start, ${blockSteps} steps a block`, ['--block-steps', String(blockSteps)]],
  'blocks-teacher': [
    `the same, inputs of the teacher`,
    ['--block-steps', String(blockSteps), '--block-inputs', 'teacher'],
  ],
};
const chosen = options.arms?.split(',') ?? Object.keys(allArms);
const unknown = chosen.filter((name) => !(name in allArms));
if (options.data === undefined || options['held-out'] === undefined || unknown.length > 0) {
  if (unknown.length > 0) console.error(`Unknown arms: ${unknown.join(', ')}`);
  console.error('Usage: node test/bench/distill-arms.mjs --data FILE --held-out FILE [--arms NAMES]');
  console.error(`Arms: ${Object.keys(allArms).join(', ')}`);
  process.exit(2);
}
const program = join(root, 'dist', 'onebit.mjs');
if (!existsSync(program)) throw new Error('dist/onebit.mjs is not built: npm run build');
const work = resolve(options.work);
mkdirSync(work, { recursive: true });

const seeds = options.seeds.split(',');
const runs = chosen.flatMap((arm) => seeds.map((seed) => measure(arm, seed)));
const byArm = chosen.map((arm) => [arm, runs.filter((run) => run.arm === arm)]);
const table = `${tableOf(byArm)}\n${curveOf(byArm)}`;
writeFileSync(
  join(work, 'arms.json'),
  `${JSON.stringify({ steps, preset: options.preset, runs }, null, 1)}\n`,
);
writeFileSync(join(work, 'arms.md'), table);
console.log(table);

/** One distillation: its result, and its curve of KL and perplexity. */
function measure(arm, seed) {
  const output = join(work, `${arm}-${seed}`);
  console.error(`${arm}, seed ${seed}`);
  const { status, stdout } = spawnSync(
    process.execPath,
    [
      ...[program, 'distill', '--teacher', options.teacher, '--preset', options.preset, '--output', output],
      ...['--data', ...options.data.map((path) => resolve(path)), '--held-out', resolve(options['held-out'])],
      ...['--steps', options.steps, '--window', options.window, '--seed', seed, '--threads', options.threads],
      ...['--measurements', options.measurements, '--json', ...allArms[arm][1]],
    ],
    { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' },
  );
  if (status !== 0) process.exit(status ?? 1);
  const { perplexity, seconds } = JSON.parse(stdout.trim().split('\n').at(-1));
  const curve = readFileSync(join(`${output}.run`, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .map(({ step, kl, hidden, perplexity }) => ({ step, kl, hidden, perplexity }));
  return { arm, seed: Number(seed), perplexity, seconds, finalKl: smoothed(curve).at(-1), curve };
}

/** Mean KL of the last twentieth of the run up to each step. */
function smoothed(curve) {
  const width = Math.max(1, Math.round(curve.length / 20));
  return curve.map((_, i) => mean(curve.slice(Math.max(0, i + 1 - width), i + 1).map(({ kl }) => kl)));
}

function tableOf(arms) {
  const slowest = arms.find(([arm]) => arm === 'random')?.[1];
  const rows = arms.map(([arm, own]) => {
    // Steps until an arm is as far as the random start of the same seed is in the end.
    const reached = own.map((run) => {
      const goal = slowest?.find(({ seed }) => seed === run.seed)?.finalKl;
      const index = goal === undefined ? -1 : smoothed(run.curve).findIndex((kl) => kl <= goal);
      return index < 0 ? undefined : run.curve[index].step;
    });
    return [
      allArms[arm][0],
      spread(own.map(({ finalKl }) => finalKl)),
      spread(own.map(({ perplexity }) => perplexity.student)),
      spread(own.map(({ perplexity }) => perplexity.student / perplexity.teacher)),
      reached.includes(undefined) ? '–' : String(Math.round(mean(reached))),
      String(Math.round(mean(own.map(({ seconds }) => seconds)))),
    ];
  });
  return [
    `${steps} steps, preset ${options.preset}, window ${options.window}, seeds ${seeds.join(', ')}; mean ± standard deviation over seeds.`,
    '',
    '| arm | KL at the end | held-out perplexity | ratio to the teacher | steps to the random start’s KL | seconds |',
    '|---|---|---|---|---|---|',
    ...rows.map((row) => `| ${row.join(' | ')} |`),
    '',
  ].join('\n');
}

/** The smoothed KL, mean over seeds, at each eighth of the run. */
function curveOf(arms) {
  const at = Array.from({ length: 8 }, (_, i) => Math.round((steps * (i + 1)) / 8));
  const rows = arms.map(([arm, own]) => {
    const curves = own.map((run) => smoothed(run.curve));
    return [allArms[arm][0], ...at.map((step) => mean(curves.map((curve) => curve[step - 1])).toFixed(3))];
  });
  const row = (cells) => `| ${cells.join(' | ')} |`;
  return [row(['KL at step', ...at]), `|${'---|'.repeat(9)}`, ...rows.map(row), ''].join('\n');
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function spread(values) {
  const middle = mean(values);
  const text = Number(middle.toPrecision(4));
  if (values.length < 2) return String(text);
  const deviation = Math.sqrt(values.reduce((sum, v) => sum + (v - middle) ** 2, 0) / (values.length - 1));
  return `${text} ± ${Number(deviation.toPrecision(2))}`;
}
