// The distillation step against PyTorch on the same model, data and order, in alternating rounds; and matrix
// products of training shapes against the machine's peak, on one thread.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { loadBundled, median } from './bundle.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..');
const cli = join(root, 'dist', 'onebit.mjs');
const script = join(root, 'test', 'reference', 'pytorch', 'distill.py');
const text = [join(root, 'extension'), join(root, 'webview')];

/** The preset `paper`, in the words of distill.py. */
export const paperRecipe = {
  ...{
    train_all: false,
    latent_start: 'signs',
    learning_rate: 4e-4,
    warmup: 500,
    floor: 0,
    beta1: 0.9,
    beta2: 0.98,
  },
  ...{ weight_decay: 0.01, clip: 1, kl_weight: 20.48, hidden_weight: 1 },
};

/**
 * Both sides distil the same student for some steps in each round.
 * @param recipe batch, window, steps, threads and what distill.py reads
 * @param flags what is not as in the preset `paper`, for `onebit distill`
 */
export async function measureTraining({ shape, recipe, flags, rounds, peer }, folder) {
  const { writeRandomTeacher, writeWindows, tableShape } = await loadBundled('training-inputs');
  const teacher = join(folder, 'teacher');
  const start = join(folder, 'start');
  mkdirSync(folder, { recursive: true });
  await writeRandomTeacher(teacher, shape ?? tableShape);
  node([cli, 'quantize', '--model', teacher, '--output', start]);
  const { batch, window, steps, threads } = recipe;
  await writeWindows(join(folder, 'windows.i32'), { teacher, data: text, window, count: batch * steps });
  writeFileSync(join(folder, 'recipe.json'), JSON.stringify(recipe));

  const python = peer ? findPyTorch() : undefined;
  const measured = { onebit: [], pytorch: [] };
  for (let round = 0; round < rounds; round++) {
    measured.onebit.push(runOneBit());
    if (python !== undefined) measured.pytorch.push(runPyTorch(python));
  }
  rmSync(folder, { recursive: true });
  return { onebit: summary(measured.onebit), ...(python ? { pytorch: summary(measured.pytorch) } : {}) };

  function runOneBit() {
    const output = join(folder, 'student');
    const run = join(folder, 'run');
    const peak = join(folder, 'peak');
    const args = [
      ...[
        'distill',
        '--preset',
        'paper',
        '--teacher',
        teacher,
        '--student',
        start,
        '--output',
        output,
        '--run',
        run,
        '--restart',
      ],
      ...['--data', ...text, '--steps', steps, '--batch', batch, '--micro-batch', batch, '--window', window],
      ...[
        '--threads',
        threads,
        '--measurements',
        0,
        '--checkpoint-steps',
        steps,
        '--progress',
        'none',
        ...flags,
      ],
    ];
    rmSync(output, { recursive: true, force: true });
    const preload = ['--import', pathToFileURL(join(here, 'report-peak.mjs')).href];
    node([...preload, cli, ...args], { ONEBIT_PEAK_FILE: peak });
    const lines = readFileSync(join(run, 'metrics.jsonl'), 'utf8').trim().split('\n').map(JSON.parse);
    const seconds = lines.map((line) => (batch * window) / line.tokensPerSecond);
    return told('OneBit', seconds, lines, Number(readFileSync(peak, 'utf8')));
  }

  function runPyTorch(python) {
    // Set, it halves the speed of Debian's PyTorch.
    const env = { ...process.env };
    delete env.OPENBLAS_CORETYPE;
    const { status, stdout, stderr } = spawnSync(python, [script, folder], { env, encoding: 'utf8' });
    if (status !== 0) throw new Error(`distill.py ended with ${status}: ${stderr.slice(-2000)}`);
    const lines = stdout.trim().split('\n').map(JSON.parse);
    const { peakBytes } = lines.pop();
    return told(
      'PyTorch',
      lines.map((line) => line.seconds),
      lines,
      peakBytes,
    );
  }
}

function told(name, seconds, lines, peakBytes) {
  // The first step fills pools and caches on both sides.
  const step = median(seconds.slice(1));
  console.error(`bench: ${name} ${step.toFixed(3)} s a step, peak ${(peakBytes / 1e9).toFixed(2)} GB`);
  return { secondsPerStep: step, peakBytes, losses: lines.map(({ loss }) => loss) };
}

function summary(rounds) {
  return {
    secondsPerStep: median(rounds.map((round) => round.secondsPerStep)),
    peakBytes: median(rounds.map((round) => round.peakBytes)),
    rounds: rounds.map((round) => round.secondsPerStep),
    losses: rounds[0].losses,
  };
}

/** The largest relative difference of the two sides' losses over the steps. */
export function lossDifference({ onebit, pytorch }) {
  return Math.max(...onebit.losses.map((loss, i) => Math.abs(loss / pytorch.losses[i] - 1)));
}

/**
 * A python that has torch and numpy, if there is one. Debian's PyTorch brings threads of OpenMP; with the OpenBLAS
 * that has threads of its own (libopenblas0-pthread) the two fight for the cores, and a step takes three to four
 * times as long. The fair peer has libopenblas0-openmp.
 */
export function findPyTorch() {
  const has = (python) => spawnSync(python, ['-c', 'import torch, numpy'], { stdio: 'ignore' }).status === 0;
  const python = ['python3', '/usr/bin/python3'].find(has);
  if (python === undefined) {
    console.error(
      'bench: no PyTorch here (Debian: apt-get install python3-torch libopenblas0-openmp): measuring OneBit alone',
    );
  }
  return python;
}

function node(args, env = {}) {
  const { status, stderr } = spawnSync(process.execPath, args.map(String), {
    env: { ...process.env, ...env },
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${args.join(' ')} ended with ${status}: ${stderr.slice(-2000)}`);
}

/** Matrix products [m, n] over k of a training step: x Wᵀ, dy W and dyᵀ x of hidden, FFN and vocabulary. */
const products = [
  { name: 'x Wᵀ, hidden', m: 1024, n: 288, k: 288, transposeB: true },
  { name: 'x Wᵀ, FFN', m: 1024, n: 768, k: 288, transposeB: true },
  { name: 'x Wᵀ, vocabulary', m: 1024, n: 4096, k: 288, transposeB: true },
  { name: 'dy W, FFN', m: 1024, n: 288, k: 768 },
  { name: 'dy W, vocabulary', m: 1024, n: 288, k: 4096 },
  { name: 'dyᵀ x, FFN', m: 768, n: 288, k: 1024, transposeA: true },
  { name: 'dyᵀ x, vocabulary', m: 4096, n: 288, k: 1024, transposeA: true },
  { name: 'x Wᵀ, 1B-class', m: 512, n: 2048, k: 2048, transposeB: true },
];

/** GFLOP/s of each product beside the peak, measured in turns on one thread. */
export function measureProducts(rounds) {
  const addon = createRequire(import.meta.url)(
    join(root, 'server', 'native', 'build', 'Release', 'onebit.node'),
  );
  addon.setThreads(1);
  const { training } = addon;
  const timed = (work) => {
    // CPU time: on a shared machine the clock also counts what others run.
    const started = process.cpuUsage();
    const flops = work();
    const { user, system } = process.cpuUsage(started);
    return flops / (user + system) / 1e3;
  };
  return products.map(({ name, m, n, k, transposeA = false, transposeB = false }) => {
    const [a, b, c] = [m * k, k * n, m * n].map((size) => training.floats(size).fill(0.5));
    const product = () => {
      training.gemm(a, b, c, 1, m, n, k, transposeA, transposeB, 0, 0);
      return 2 * m * n * k;
    };
    const repeats = Math.ceil(1e9 / (2 * m * n * k));
    const many = () => Array.from({ length: repeats }, product).reduce((x, y) => x + y);
    many();
    const speeds = { product: [], peak: [] };
    for (let round = 0; round < rounds; round++) {
      speeds.peak.push(timed(() => training.fmaChain(1_000_000)));
      speeds.product.push(timed(many));
    }
    const [gflops, peak] = [median(speeds.product), median(speeds.peak)];
    console.error(`bench: ${name} ${gflops.toFixed(0)} of ${peak.toFixed(0)} GFLOP/s`);
    return { name, m, n, k, gflops, peak };
  });
}

/** The rows of the report. */
export function trainingTable({ steps, products }) {
  const lines = ['| distillation step | s/step | peak RSS GB |', '|---|---|---|'];
  const row = (name, side) =>
    lines.push(`| ${name} | ${side.secondsPerStep.toFixed(3)} | ${(side.peakBytes / 1e9).toFixed(2)} |`);
  row('OneBit', steps.onebit);
  if (steps.pytorch !== undefined) {
    const { onebit, pytorch } = steps;
    row('PyTorch', pytorch);
    const time = (onebit.secondsPerStep / pytorch.secondsPerStep).toFixed(2);
    lines.push(`| ratio | ${time} × | ${(onebit.peakBytes / pytorch.peakBytes).toFixed(2)} × |`);
    lines.push(
      '',
      `Losses of the two differ by ${lossDifference(steps).toExponential(1)} at most, relative.`,
    );
  }
  lines.push('', '| product, one thread | m × n × k | GFLOP/s | of the peak |', '|---|---|---|---|');
  for (const { name, m, n, k, gflops, peak } of products) {
    const share = `${((100 * gflops) / peak).toFixed(0)} %`;
    lines.push(`| ${name} | ${m} × ${n} × ${k} | ${gflops.toFixed(0)} | ${share} |`);
  }
  return lines.join('\n');
}
