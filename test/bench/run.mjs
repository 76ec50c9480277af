// `npm run bench`: side-by-side measurements in one run, medians of alternating rounds.
//   --only engine|contention|server-cost|training|gpu-encode|completion|load|recovery|inspect     all of these without it
//   --only gpu-step --device gpu      what each kernel takes of a step on a GPU, for each of --shapes
//   --shapes 1.1b,7b           of the engine's part (beside node-llama-cpp)
//   --model FOLDER --text FILE      of the engine's part: another 1-bit model whose perplexity is compared with --exact
//   --inspect-shape 7b         of the layer inspector's part (15 GB on the disk while it runs)
//   --positions 200 --keystrokes 1000 --code FILE.jsonl.gz     of completion's part (default: code of installed packages)
//   --load-seconds 300      of the load's part
//   --only panel-hour --minutes 60      memory of the panel in a real VS Code beside a run
//   --threads 2 --rounds 3 --prefill 128 --decode 32 --no-peer
// Writes test/output/bench.json and bench.md, and prints the tables.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundle, loadBundled } from './bundle.mjs';
import { accuracyTable, engineTable, measureAccuracy, measureEngines } from './engine-speed.mjs';
import { inspectTable, measureInspect } from './inspect-speed.mjs';
import { contentionText, measureContention, measureServerCost, serverCostText } from './server-cost.mjs';
import { measurePanelHour, panelHourTable } from './panel.mjs';
import { measureProducts, measureTraining, paperRecipe, trainingTable } from './training-speed.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const output = join(root, 'test', 'output');
const { values: options } = parseArgs({
  options: {
    only: { type: 'string' },
    shapes: { type: 'string', default: '1.1b,7b' },
    threads: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
    prefill: { type: 'string', default: '128' },
    decode: { type: 'string', default: '32' },
    peer: { type: 'boolean', default: true },
    positions: { type: 'string', default: '200' },
    keystrokes: { type: 'string', default: '1000' },
    code: { type: 'string' },
    'inspect-shape': { type: 'string', default: '7b' },
    model: { type: 'string' },
    text: { type: 'string' },
    'load-seconds': { type: 'string', default: '300' },
    device: { type: 'string', default: 'gpu' },
    minutes: { type: 'string', default: '60' },
  },
  allowNegative: true,
});
const threads = Number(options.threads);
const rounds = Number(options.rounds);
const { peer } = options;

const folder = mkdtempSync(join(tmpdir(), 'onebit-bench-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));

const report = {
  machine: { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, node: process.version },
  loadBefore: loadavg()[0],
  threads,
  rounds,
};
if (options.only === undefined || options.only === 'engine') {
  const { prefill, decode } = options;
  report.engines = await measureEngines(
    {
      shapes: options.shapes.split(','),
      threads,
      rounds,
      prefill: Number(prefill),
      decode: Number(decode),
      peer,
    },
    folder,
  );
  const { readCode } = await loadBundled('code-samples');
  const text = join(folder, 'code.txt');
  writeFileSync(
    text,
    readCode(options.code, root)
      .map((file) => file.text)
      .join('\n'),
  );
  const others =
    options.model === undefined ? [] : [{ name: options.model, model: options.model, text: options.text }];
  report.accuracy = measureAccuracy([{ name: 'starter', model: 'starter', text }, ...others]);
}
const cli = join(root, 'dist', 'onebit.mjs');
if (options.only === undefined || options.only === 'contention') {
  // The starter is too small for more than one thread.
  const model = join(folder, 'contention-1.1b');
  const { writeShape } = await loadBundled('model-shape');
  await writeShape(model, '1.1b', 'onebit');
  report.contention = await measureContention({ cli, model, threads, decode: 64, repeats: 5 }, rounds);
  rmSync(model, { recursive: true });
}
if (options.only === undefined || options.only === 'server-cost') {
  report.serverCost = await measureServerCost({
    ...{ cli, model: 'starter', threads, decode: 64 },
    ...{ folder: join(folder, 'cost-state'), idleSeconds: 60 },
  });
}
if (options.only === undefined || options.only === 'training') {
  // Everything is trained, embedding and head included, as in the table that this repeats.
  const recipe = { ...paperRecipe, batch: 4, window: 256, steps: 12, threads, train_all: true, kl_weight: 1 };
  const flags = ['--embeddings', 'trained', '--norms', 'trained', '--head', 'trained', '--kl-weight', 1];
  const steps = await measureTraining({ recipe, flags, rounds, peer }, join(folder, 'training'));
  report.training = { steps, products: measureProducts(rounds * 3) };
}
if (options.only === undefined || options.only === 'gpu-encode') {
  const { measureEncode } = await loadBundled('gpu-encode');
  report.gpuEncode = await measureEncode(1000);
}
const gpuSteps = [];
if (options.only === 'gpu-step') {
  const { measureGpuStep, gpuStepTable } = await loadBundled('gpu-step');
  report.gpuSteps = {};
  for (const shape of options.shapes.split(',')) {
    report.gpuSteps[shape] = await measureGpuStep(options.device, shape);
    gpuSteps.push(gpuStepTable(shape, report.gpuSteps[shape]));
  }
}
let completionText;
if (options.only === undefined || options.only === 'completion') {
  const { measureCompletion, completionTable } = await loadBundled('completion-speed');
  const { positions, keystrokes, code } = options;
  report.completion = await measureCompletion({
    ...{ root, folder: join(folder, 'state'), model: 'starter', threads, perSecond: 8, code },
    ...{ positions: Number(positions), keystrokes: Number(keystrokes) },
  });
  completionText = completionTable(report.completion);
}
let loadText;
if (options.only === undefined || options.only === 'load') {
  const { measureLoad, loadTable } = await loadBundled('server-load');
  const seconds = Number(options['load-seconds']);
  report.load = await measureLoad({
    ...{
      root,
      folder: join(folder, 'load-state'),
      cli: join(root, 'dist', 'onebit.mjs'),
      model: 'starter',
      threads,
    },
    ...{ seconds, warmUpSeconds: seconds / 5, clients: await bundle('load-clients'), code: options.code },
  });
  loadText = loadTable(report.load);
}
let recoveryText;
if (options.only === undefined || options.only === 'recovery') {
  const { measureRecovery, recoveryTable } = await loadBundled('recovery');
  report.recovery = await measureRecovery({
    ...{ cli: join(root, 'dist', 'onebit.mjs'), folder: join(folder, 'recovery-state'), model: 'starter' },
    window: await bundle('../integration/window-process'),
  });
  recoveryText = recoveryTable(report.recovery);
}
if (options.only === undefined || options.only === 'inspect') {
  report.inspect = await measureInspect(options['inspect-shape'], threads, folder);
}
if (options.only === 'panel-hour') report.panelHour = measurePanelHour(Number(options.minutes), folder);
mkdirSync(output, { recursive: true });
writeFileSync(join(output, 'bench.json'), `${JSON.stringify(report, null, 2)}\n`);
const markdown = [
  `${report.machine.cpu}, ${threads} threads, Node ${report.machine.node}; medians of ${rounds} alternating rounds.`,
  // Other work on the machine takes from both sides, not always evenly.
  ...(report.loadBefore > 0.5
    ? [`The machine was busy before the start (load ${report.loadBefore.toFixed(1)}).`]
    : []),
  ...(report.engines === undefined ? [] : [engineTable(report.engines), accuracyTable(report.accuracy)]),
  ...(report.contention === undefined ? [] : [contentionText(report.contention)]),
  ...(report.serverCost === undefined ? [] : [serverCostText(report.serverCost)]),
  ...(report.training === undefined ? [] : [trainingTable(report.training)]),
  ...(completionText === undefined ? [] : [completionText]),
  ...(loadText === undefined ? [] : [loadText]),
  ...(recoveryText === undefined ? [] : [recoveryText]),
  ...gpuSteps,
  ...(report.inspect === undefined ? [] : [inspectTable(report.inspect)]),
  ...(report.panelHour === undefined ? [] : [panelHourTable(report.panelHour)]),
  ...(report.gpuEncode === undefined
    ? []
    : [
        `One decode step of LLaMA-7B on the WebGPU engine costs the CPU ${report.gpuEncode.milliseconds.toFixed(2)} ms ` +
          `(${report.gpuEncode.dispatches} dispatches, Dawn's null backend).`,
      ]),
].join('\n\n');
writeFileSync(join(output, 'bench.md'), `${markdown}\n`);
console.log(`\n${markdown}`);
