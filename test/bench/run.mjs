// `npm run bench`: decode and prefill speed of OneBit's engine beside node-llama-cpp on Q1_0 of the same
// shape, random weights, the same number of threads. Rounds alternate between the two, each in a process
// of its own; the medians count. Options: --shapes 1.1b,7b --threads 2 --rounds 3 --no-peer
// Writes test/output/bench.json and bench.md, and prints the table.
import { build } from 'esbuild';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..');
const output = join(root, 'test', 'output');
const { values: options } = parseArgs({
  options: {
    shapes: { type: 'string', default: '1.1b,7b' },
    threads: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
    prefill: { type: 'string', default: '128' },
    decode: { type: 'string', default: '32' },
    peer: { type: 'boolean', default: true },
  },
  allowNegative: true,
});

const folder = mkdtempSync(join(tmpdir(), 'onebit-bench-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));

const hasPeer = options.peer && installPeer();
const { writeShape, writeGgufShape } = await loadWriters();
const results = [];
for (const shape of options.shapes.split(',')) results.push(await benchShape(shape));

const report = {
  machine: { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, node: process.version },
  threads: Number(options.threads),
  rounds: Number(options.rounds),
  results,
};
mkdirSync(output, { recursive: true });
writeFileSync(join(output, 'bench.json'), `${JSON.stringify(report, null, 2)}\n`);
writeFileSync(join(output, 'bench.md'), markdown(report));
console.log(`\n${markdown(report)}`);

/** The peer has a package.json of its own, installed when first needed. */
function installPeer() {
  if (existsSync(join(here, 'node_modules', 'node-llama-cpp'))) return true;
  console.error('bench: installing node-llama-cpp (once)');
  // Its install script would look for a compiler and a download; the binary comes as a package.
  const args = ['ci', '--ignore-scripts', '--omit=optional', '--no-audit', '--no-fund'];
  const { status } = spawnSync('npm', args, { cwd: here, stdio: ['ignore', 2, 2] });
  if (status !== 0) console.error('bench: node-llama-cpp cannot be installed here: measuring OneBit alone');
  return status === 0;
}

async function loadWriters() {
  const load = async (name) => {
    const outfile = join(output, `${name}.mjs`);
    const entryPoints = [join(here, `${name}.ts`)];
    await build({ entryPoints, outfile, bundle: true, platform: 'node', format: 'esm', logLevel: 'warning' });
    return import(pathToFileURL(outfile).href);
  };
  return { ...(await load('model-shape')), ...(await load('gguf-shape')) };
}

async function benchShape(shape) {
  const ours = join(folder, shape);
  const gguf = join(folder, `${shape}.gguf`);
  console.error(`bench: writing ${shape}`);
  await writeShape(ours, shape, 'onebit');
  if (hasPeer) await writeGgufShape(gguf, shape);
  const { threads, prefill, decode } = options;
  const rounds = { onebit: [], peer: [] };
  for (let round = 0; round < Number(options.rounds); round++) {
    const flags = [
      '--threads',
      threads,
      '--prefill',
      prefill,
      '--decode',
      decode,
      '--repeats',
      '1',
      '--json',
    ];
    rounds.onebit.push(
      measure('OneBit', [join(root, 'dist', 'onebit.mjs'), 'bench', '--model', ours, ...flags]),
    );
    if (hasPeer) {
      rounds.peer.push(
        measure('node-llama-cpp', [join(here, 'peer-speed.mjs'), gguf, threads, prefill, decode, '1']),
      );
    }
  }
  rmSync(ours, { recursive: true });
  rmSync(gguf, { force: true });
  return {
    shape,
    onebit: summary(rounds.onebit),
    ...(hasPeer ? { nodeLlamaCpp: summary(rounds.peer) } : {}),
  };
}

function measure(name, args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${name} ended with ${status}: ${stderr.slice(-2000)}`);
  const result = JSON.parse(stdout.trim().split('\n').at(-1));
  const rate = (speed) => speed.tokensPerSecond.toFixed(1);
  console.error(`bench: ${name} decode ${rate(result.decode)}, prefill ${rate(result.prefill)} tokens/s`);
  return result;
}

function summary(rounds) {
  const median = (pick) => rounds.map(pick).sort((a, b) => a - b)[rounds.length >> 1];
  return {
    decodeTokensPerSecond: median((round) => round.decode.tokensPerSecond),
    prefillTokensPerSecond: median((round) => round.prefill.tokensPerSecond),
    loadSeconds: median((round) => round.loadSeconds),
    rssBytes: median((round) => round.rssBytes),
    path: rounds[0].path,
    rounds: rounds.map(({ decode, prefill }) => [decode.tokensPerSecond, prefill.tokensPerSecond]),
  };
}

function markdown({ machine, threads, rounds, results }) {
  const lines = [
    `${machine.cpu}, ${threads} threads, Node ${machine.node}; medians of ${rounds} alternating rounds.`,
    '',
    '| shape | engine | decode tok/s | prefill tok/s | load s | RSS GB |',
    '|---|---|---|---|---|---|',
  ];
  const row = (shape, name, side) =>
    `| ${shape} | ${name} | ${side.decodeTokensPerSecond.toFixed(1)} | ${side.prefillTokensPerSecond.toFixed(1)} | ` +
    `${side.loadSeconds.toFixed(1)} | ${(side.rssBytes / 1e9).toFixed(2)} |`;
  for (const { shape, onebit, nodeLlamaCpp } of results) {
    lines.push(row(shape, `OneBit (${onebit.path})`, onebit));
    if (nodeLlamaCpp === undefined) continue;
    lines.push(row(shape, 'node-llama-cpp 3.22.1, Q1_0', nodeLlamaCpp));
    const times = (key) => `${(onebit[key] / nodeLlamaCpp[key]).toFixed(1)} ×`;
    lines.push(
      `| ${shape} | ratio | ${times('decodeTokensPerSecond')} | ${times('prefillTokensPerSecond')} | | |`,
    );
  }
  return `${lines.join('\n')}\n`;
}
