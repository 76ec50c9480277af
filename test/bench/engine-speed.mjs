// Decode and prefill speed of OneBit's engine beside node-llama-cpp on Q1_0 of the same shape, random weights,
// the same number of threads. Rounds alternate between the two, each in a process of its own.
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadBundled, median } from './bundle.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..');

/** Medians for each shape; files of the shapes are written into `folder` and removed again. */
export async function measureEngines({ shapes, threads, rounds, prefill, decode, peer }, folder) {
  const hasPeer = peer && installPeer();
  const { writeShape } = await loadBundled('model-shape');
  const { writeGgufShape } = await loadBundled('gguf-shape');
  const results = [];
  for (const shape of shapes) {
    const ours = join(folder, shape);
    const gguf = join(folder, `${shape}.gguf`);
    console.error(`bench: writing ${shape}`);
    await writeShape(ours, shape, 'onebit');
    if (hasPeer) await writeGgufShape(gguf, shape);
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
    const measured = { onebit: [], peer: [] };
    for (let round = 0; round < rounds; round++) {
      const command = [join(root, 'dist', 'onebit.mjs'), 'bench', '--model', ours, ...flags];
      measured.onebit.push(measure('OneBit', command));
      if (!hasPeer) continue;
      const other = [join(here, 'peer-speed.mjs'), gguf, threads, prefill, decode, '1'];
      measured.peer.push(measure('node-llama-cpp', other));
    }
    rmSync(ours, { recursive: true });
    rmSync(gguf, { force: true });
    results.push({
      shape,
      onebit: summary(measured.onebit),
      ...(hasPeer ? { nodeLlamaCpp: summary(measured.peer) } : {}),
    });
  }
  return results;
}

/** The peer has a package.json of its own, installed when first needed. */
function installPeer() {
  if (existsSync(join(here, 'node_modules', 'node-llama-cpp'))) return true;
  console.error('bench: installing node-llama-cpp (once)');
  // Its install script would look for a compiler and a download; the binary comes as a package. Not `npm ci`: that
  // wants the lock file to list the binaries of all platforms, which not every registry has.
  const args = ['install', '--no-save', '--ignore-scripts', '--omit=optional', '--no-audit', '--no-fund'];
  const { status } = spawnSync('npm', args, { cwd: here, stdio: ['ignore', 2, 2] });
  if (status !== 0) console.error('bench: node-llama-cpp cannot be installed here: measuring OneBit alone');
  return status === 0;
}

function measure(name, args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args.map(String), { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${name} ended with ${status}: ${stderr.slice(-2000)}`);
  const result = JSON.parse(stdout.trim().split('\n').at(-1));
  const rate = (speed) => speed.tokensPerSecond.toFixed(1);
  console.error(`bench: ${name} decode ${rate(result.decode)}, prefill ${rate(result.prefill)} tokens/s`);
  return result;
}

function summary(rounds) {
  const of = (pick) => median(rounds.map(pick));
  return {
    decodeTokensPerSecond: of((round) => round.decode.tokensPerSecond),
    prefillTokensPerSecond: of((round) => round.prefill.tokensPerSecond),
    loadSeconds: of((round) => round.loadSeconds),
    rssBytes: of((round) => round.rssBytes),
    path: rounds[0].path,
    rounds: rounds.map(({ decode, prefill }) => [decode.tokensPerSecond, prefill.tokensPerSecond]),
  };
}

/** The rows of the report. */
export function engineTable(results) {
  const lines = [
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
  return lines.join('\n');
}
