import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findOrStartServer, findServer } from '../../extension/server-link/find-server.ts';
import { ServerClient } from '../../extension/server-link/server-client.ts';
import { packageRoot, packageVersion } from '../../server/package-root.ts';
import { completionPrompts } from './completion-prompts.ts';

/** Minutes of distillation; the whole demo then takes under five on two cores. */
const minutes = Number(process.env.ONEBIT_DEMO_MINUTES ?? 2);

const root = packageRoot();
const cli = join(root, 'dist', 'onebit.mjs');
const teacher = join(root, 'server', 'starter', 'teacher');
const shippedStudent = join(root, 'server', 'starter', 'student');

/** Text to distill on: sources of packages that `npm ci` has put there anyway. */
const trainingPackages = [
  'express',
  'ws',
  'zod',
  'commander',
  'prom-client',
  'vscode-jsonrpc',
  'vscode-ws-jsonrpc',
  'uplot',
  'router',
  'body-parser',
  'vitest',
  '@vitest/expect',
  '@vitest/runner',
  'eslint/lib',
];
/** Text to measure on, which neither model has seen: this project's own sources. */
const heldOutFolders = ['extension', 'server/api', 'server/engine', 'server/protocol'];
const heldOutCharacters = 120_000;

interface Perplexity {
  ppl: number;
  tokens: number;
}

async function main(): Promise<void> {
  const started = performance.now();
  const work = await mkdtemp(join(tmpdir(), 'onebit-demo-'));
  try {
    const svidOnly = join(work, 'svid');
    const distilled = join(work, 'distilled');
    const heldOut = await writeHeldOut(join(work, 'held-out.txt'));

    heading('1. Quantize the starter teacher: SVID, one sign a weight and two value vectors a layer');
    await onebit('quantize', '--model', teacher, '--output', svidOnly);

    heading(`2. Distill the 1-bit student from its teacher for ${minutes} minutes`);
    const data = trainingPackages
      .map((name) => join(root, 'node_modules', name))
      .filter((folder) => existsSync(folder));
    await onebit(
      ...['distill', '--teacher', teacher, '--student', svidOnly, '--output', distilled],
      ...['--data', ...data, '--minutes', String(minutes)],
    );

    heading('3. Sizes, and perplexity on sources that no model here has seen');
    const models: [string, string][] = [
      ['teacher (fp16)', teacher],
      ['1 bit, SVID only', svidOnly],
      [`1 bit, distilled ${minutes} min`, distilled],
      ['1 bit, shipped student', shippedStudent],
    ];
    const perplexities = new Map<string, number>();
    for (const [name, folder] of models) {
      const { ppl, tokens } = JSON.parse(
        await onebit('eval', 'ppl', '--model', folder, '--text', heldOut, '--json'),
      ) as Perplexity;
      perplexities.set(name, ppl);
      const weights = await stat(join(folder, 'model.safetensors'));
      const linears = await linearBytes(folder);
      console.log(
        `   ${name.padEnd(26)} ${megabytes(weights.size)} (linears ${megabytes(linears)})` +
          `   perplexity ${ppl.toFixed(2).padStart(10)}   over ${tokens} tokens`,
      );
    }
    const ratio =
      (perplexities.get(models[2]?.[0] ?? '') ?? NaN) / (perplexities.get(models[1]?.[0] ?? '') ?? NaN);
    console.log(`   distillation now: ${ratio.toPrecision(3)} × the perplexity of SVID alone`);

    heading("4. Serve: start the server, complete three pieces of code with the extension's client, stop");
    await complete(join(work, 'state'));
    console.log(`\nDone in ${Math.round((performance.now() - started) / 1000)} s.`);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function complete(stateFolder: string): Promise<void> {
  const server = await findOrStartServer({ stateFolder, node: process.execPath, cli });
  console.log(`   server ${server.pid} on 127.0.0.1:${server.port}`);
  const client = await ServerClient.connect(server, { client: 'demo', version: packageVersion() });
  try {
    for (const { language, prefix, suffix } of completionPrompts) {
      let pieces = 0;
      const result = await client.complete(
        { prefix, suffix, language, maxTokens: 32, singleLine: true },
        () => {
          pieces++;
        },
      );
      const { prefillMs, decodeMs, completionTokens } = result.timings;
      console.log(
        `\n${indent(`${prefix}\x1b[7m${result.text}\x1b[0m${suffix}`)}\n   → ${completionTokens} tokens in ${pieces} pieces, ` +
          `prompt ${prefillMs.toFixed(0)} ms, text ${decodeMs.toFixed(0)} ms, model ${result.model}` +
          `${result.infilled ? ', suffix used' : ''}`,
      );
    }
    await client.request('server/stop', {});
  } finally {
    await client.close();
  }
  for (let i = 0; i < 100 && isAlive(server.pid); i++) await sleep(50);
  if (isAlive(server.pid)) throw new Error(`The server (process ${server.pid}) did not stop.`);
  if ((await findServer(stateFolder)) !== undefined) throw new Error('The server still answers.');
  console.log('\n   server stopped, no process left');
}

/** Runs one command of the built command line with its progress on this terminal; resolves with its output. */
async function onebit(...args: string[]): Promise<string> {
  const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const json = args.includes('--json');
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    if (!json) process.stdout.write(indent(text));
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw new Error(`onebit ${args[0] ?? ''} ended with exit code ${code}.`);
  return output;
}

async function writeHeldOut(file: string): Promise<string> {
  let text = '';
  for (const folder of heldOutFolders) {
    const entries = await readdir(join(root, folder), { recursive: true });
    for (const name of entries.filter((entry) => entry.endsWith('.ts')).sort()) {
      if (text.length >= heldOutCharacters) break;
      text += `${await readFile(join(root, folder, name), 'utf8')}\n`;
    }
  }
  if (text === '') throw new Error('This installation has no sources to measure on.');
  await writeFile(file, text.slice(0, heldOutCharacters));
  return file;
}

/** Bytes of the seven linears of every layer, with their value vectors, as the file's header lists them. */
async function linearBytes(folder: string): Promise<number> {
  const file = await readFile(join(folder, 'model.safetensors'));
  const headerLength = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, 8 + headerLength)) as Record<
    string,
    { data_offsets?: [number, number] }
  >;
  return Object.entries(header)
    .filter(([name]) => name.includes('_proj.'))
    .reduce((sum, [, { data_offsets }]) => sum + (data_offsets ? data_offsets[1] - data_offsets[0] : 0), 0);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const heading = (text: string): void => console.log(`\n${text}`);
const indent = (text: string): string => text.replace(/^(?=.)/gm, '   ');
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(2)} MB`;

main().catch((error: unknown) => {
  console.error(`demo: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
