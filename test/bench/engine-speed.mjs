// Decode and prefill speed of OneBit's engine beside node-llama-cpp on files of the same shape, random weights. Every
// measurement is a process of its own, and rounds go through all of them in turn, so that what else the machine does
// meets all alike; what the machine itself could do is measured in each round too.
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadBundled, median } from './bundle.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..');
const cli = join(root, 'dist', 'onebit.mjs');
const longContext = 4096;

/**
 * What is measured of a shape: `onebit` or a GGUF quantisation, threads, and what is special. Those marked `once` are
 * there for comparison, and slow: one round has them.
 */
function variantsOf(shape, threads, { peer }) {
  const ours = [
    { name: 'onebit', side: 'OneBit', threads },
    { name: 'onebit-8', side: 'OneBit, 8 together', threads, together: 8 },
    { name: 'onebit-avx2', side: 'OneBit, AVX2 forced', threads, isa: 'avx2' },
    { name: 'onebit-1', side: 'OneBit', threads: 1 },
    ...(shape === '1.1b'
      ? [{ name: 'onebit-long', side: `OneBit, context ${longContext}`, threads, prefill: longContext - 64 }]
      : []),
  ];
  const peers = [
    { name: 'Q1_0', side: 'node-llama-cpp Q1_0', gguf: 'Q1_0', threads },
    { name: 'Q4_0', side: 'node-llama-cpp Q4_0', gguf: 'Q4_0', threads },
    { name: 'TQ2_0', side: 'node-llama-cpp TQ2_0', gguf: 'TQ2_0', threads, once: true },
    { name: 'Q1_0-1', side: 'node-llama-cpp Q1_0', gguf: 'Q1_0', threads: 1, once: true },
  ];
  return peer ? [...ours, ...peers] : ours;
}

/** Medians for each shape; files of the shapes are written into `folder` and removed again. */
export async function measureEngines({ shapes, threads, rounds, prefill, decode, peer }, folder) {
  const hasPeer = peer && installPeer();
  const machineSpeed = buildMachineSpeed(folder);
  const { writeShape } = await loadBundled('model-shape');
  const { writeGgufShape } = await loadBundled('gguf-shape');
  const results = [];
  for (const shape of shapes) {
    const ours = join(folder, shape);
    const gguf = (quantisation) => join(folder, `${shape}-${quantisation}.gguf`);
    const variants = variantsOf(shape, threads, { peer: hasPeer });
    console.error(`bench: writing ${shape}`);
    await writeShape(ours, shape, 'onebit');
    for (const quantisation of new Set(variants.flatMap((variant) => variant.gguf ?? []))) {
      await writeGgufShape(gguf(quantisation), shape, quantisation);
    }
    const measured = new Map(variants.map(({ name }) => [name, []]));
    const machine = [];
    for (let round = 0; round < rounds; round++) {
      if (machineSpeed !== undefined) machine.push([1, threads].map((n) => machineSpeed(n)));
      for (const variant of variants) {
        if (variant.once && round > 0) continue;
        const tokens = variant.prefill ?? prefill;
        const args =
          variant.gguf === undefined
            ? [
                ...[cli, 'bench', '--device', 'cpu', '--model', ours, '--threads', variant.threads],
                ...[
                  '--prefill',
                  tokens,
                  '--decode',
                  decode,
                  '--repeats',
                  1,
                  '--together',
                  variant.together ?? 1,
                ],
                '--json',
              ]
            : [join(here, 'peer-speed.mjs'), gguf(variant.gguf), variant.threads, tokens, decode, 1];
        measured
          .get(variant.name)
          .push(measure(`${variant.side}, ${variant.threads} threads`, args, variant.isa));
      }
    }
    rmSync(ours, { recursive: true });
    for (const { gguf: quantisation } of variants) {
      if (quantisation !== undefined) rmSync(gguf(quantisation), { force: true });
    }
    results.push({
      shape,
      threads,
      machine: machineMedians(machine),
      variants: variants.map((variant) => ({ ...variant, ...summary(measured.get(variant.name)) })),
    });
  }
  return results;
}

/**
 * Perplexity of the default kernels against `--exact`: what the speed costs.
 * @param models [{ name, model, text }]
 */
export function measureAccuracy(models) {
  return models.map(({ name, model, text }) => {
    const perplexity = (...flags) => {
      const files = ['--model', model, '--text', text, '--max-tokens', '30000', '--window', '512'];
      const args = [cli, 'eval', 'ppl', ...files, '--device', 'cpu', '--json', ...flags];
      const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
      if (status !== 0) throw new Error(`eval ppl ended with ${status}: ${stderr.slice(-2000)}`);
      return JSON.parse(stdout.trim().split('\n').at(-1)).ppl;
    };
    const [standard, exact] = [perplexity(), perplexity('--exact')];
    return { name, perplexity: standard, exactPerplexity: exact, change: standard / exact - 1 };
  });
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

/** Measures the machine on so many threads; undefined where there is no compiler, or another processor than x86. */
function buildMachineSpeed(folder) {
  const program = join(folder, 'machine-speed');
  const flags = ['-O3', '-march=native', '-std=c++17', '-pthread', '-o', program];
  const { status } = spawnSync('g++', [...flags, join(here, 'machine-speed.cc')], { stdio: 'ignore' });
  if (process.arch !== 'x64' || status !== 0) {
    console.error("bench: the machine's bandwidth is not measured (no g++, or not x86)");
    return undefined;
  }
  return (threads) => {
    const { stdout } = spawnSync(program, [String(threads), '1'], { encoding: 'utf8' });
    return { threads, ...JSON.parse(stdout) };
  };
}

function machineMedians(rounds) {
  if (rounds.length === 0) return [];
  return rounds[0].map(({ threads, int8Instruction }, i) => ({
    threads,
    readBytesPerSecond: median(rounds.map((round) => round[i].readBytesPerSecond)),
    int8OpsPerSecond: median(rounds.map((round) => round[i].int8OpsPerSecond)),
    int8Instruction,
  }));
}

function measure(name, args, isa) {
  const env = isa === undefined ? process.env : { ...process.env, ONEBIT_CPU: isa };
  const { status, stdout, stderr } = spawnSync(process.execPath, args.map(String), { encoding: 'utf8', env });
  if (status !== 0) throw new Error(`${name} ended with ${status}: ${stderr.slice(-2000)}`);
  const result = JSON.parse(stdout.trim().split('\n').at(-1));
  const rate = (speed) => speed.tokensPerSecond.toFixed(1);
  const together = result.together === undefined ? '' : `, together ${rate(result.together)}`;
  console.error(
    `bench: ${name}: decode ${rate(result.decode)}, prefill ${rate(result.prefill)}${together} tokens/s`,
  );
  return result;
}

function summary(rounds) {
  const of = (pick) => median(rounds.map(pick));
  return {
    decodeTokensPerSecond: of((round) => round.decode.tokensPerSecond),
    prefillTokensPerSecond: of((round) => round.prefill.tokensPerSecond),
    ...(rounds[0].together === undefined
      ? {}
      : { togetherTokensPerSecond: of((round) => round.together.tokensPerSecond) }),
    ...(rounds[0].decodeBytes === undefined ? {} : { decodeBytes: rounds[0].decodeBytes }),
    loadSeconds: of((round) => round.loadSeconds),
    rssBytes: of((round) => round.rssBytes),
    path: rounds[0].path,
    rounds: rounds.map(({ decode, prefill }) => [decode.tokensPerSecond, prefill.tokensPerSecond]),
  };
}

/** The report: what the machine does, speeds, and the ratios that follow. */
export function engineTable(results) {
  const machine = (results[0]?.machine ?? []).map(
    ({ threads, readBytesPerSecond, int8OpsPerSecond, int8Instruction }) =>
      `${threads} ${threads === 1 ? 'thread reads' : 'threads read'} ${(readBytesPerSecond / 1e9).toFixed(1)} GB/s, ` +
      `${(int8OpsPerSecond / 1e12).toFixed(2)} Tops of int8 (${int8Instruction})`,
  );
  const lines = [
    '| shape | engine | threads | decode tok/s | prefill tok/s | load s | RSS GB |',
    '|---|---|---|---|---|---|---|',
  ];
  const ratios = ['| shape | what | ratio |', '|---|---|---|'];
  for (const { shape, threads, machine: speeds, variants } of results) {
    for (const variant of variants) {
      const decode = variant.togetherTokensPerSecond ?? variant.decodeTokensPerSecond;
      const side = variant.gguf === undefined ? `${variant.side} (${variant.path})` : variant.side;
      lines.push(
        `| ${shape} | ${side} | ${variant.threads} | ${decode.toFixed(1)} | ${variant.prefillTokensPerSecond.toFixed(1)} | ` +
          `${variant.loadSeconds.toFixed(1)} | ${(variant.rssBytes / 1e9).toFixed(2)} |`,
      );
    }
    const find = (name) => variants.find((variant) => variant.name === name);
    const ratio = (what, a, b, key, other = key) => {
      const [x, y] = [find(a)?.[key], find(b)?.[other]];
      if (x !== undefined && y !== undefined) ratios.push(`| ${shape} | ${what} | ${(x / y).toFixed(2)} × |`);
    };
    const [decode, prefill] = ['decodeTokensPerSecond', 'prefillTokensPerSecond'];
    ratio('decode, of Q1_0', 'onebit', 'Q1_0', decode);
    ratio('decode, of TQ2_0', 'onebit', 'TQ2_0', decode);
    ratio('decode, of Q4_0', 'onebit', 'Q4_0', decode);
    ratio('decode on one thread, of Q1_0', 'onebit-1', 'Q1_0-1', decode);
    ratio('prefill, of Q1_0', 'onebit', 'Q1_0', prefill);
    ratio('prefill, of Q4_0', 'onebit', 'Q4_0', prefill);
    ratio('decode with AVX2 forced, of Q1_0', 'onebit-avx2', 'Q1_0', decode);
    ratio('8 requests together, of one', 'onebit-8', 'onebit', 'togetherTokensPerSecond', decode);
    ratio(`decode at a context of ${longContext}, of that at ${128}`, 'onebit-long', 'onebit', decode);
    for (const [name, n] of [
      ['onebit', threads],
      ['onebit-1', 1],
    ]) {
      const bandwidth = speeds.find((speed) => speed.threads === n)?.readBytesPerSecond;
      const variant = find(name);
      if (bandwidth === undefined || variant === undefined) continue;
      const share = (variant.decodeTokensPerSecond * variant.decodeBytes) / bandwidth;
      ratios.push(
        `| ${shape} | bytes that decoding reads on ${n} thread${n === 1 ? '' : 's'} (${(variant.decodeBytes / 1e6).toFixed(0)} MB ` +
          `a token), of the measured bandwidth | ${(100 * share).toFixed(0)} % |`,
      );
    }
  }
  return [machine.join('; '), lines.join('\n'), ratios.join('\n')].filter((part) => part !== '').join('\n\n');
}

export function accuracyTable(models) {
  return [
    '| model | perplexity | with --exact | change |',
    '|---|---|---|---|',
    ...models.map(
      ({ name, perplexity, exactPerplexity, change }) =>
        `| ${name} | ${perplexity.toFixed(4)} | ${exactPerplexity.toFixed(4)} | ${(100 * change).toFixed(3)} % |`,
    ),
  ].join('\n');
}
