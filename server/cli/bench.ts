import type { Command } from 'commander';
import { modelFolder } from '../checkpoint/starter.ts';
import { openEngine } from '../engine/open-engine.ts';
import { measureSpeed } from '../evaluate/speed.ts';
import { nativeAddon } from '../native/addon.ts';
import type { MemoryReport } from '../protocol/memory.ts';
import { integer } from './arguments.ts';
import { engineOptions, printNotice, withEngineOptions, type EngineFlags } from './engine-options.ts';
import { progressOutput } from './progress-output.ts';
import { processSignal } from './signals.ts';
import { table } from './table.ts';

interface Flags extends EngineFlags {
  model: string;
  prefill: number;
  decode: number;
  together: number;
  repeats: number;
  json?: boolean;
}

/** `onebit bench`: how fast a model runs on this machine. */
export function register(program: Command): void {
  const command = program
    .command('bench')
    .description('Measure prefill and decode speed and memory of a model on this machine.')
    .option('--model <folder>', 'model folder, llama2.c file, or "starter"', 'starter')
    .option('--prefill <n>', 'tokens of the prompt', integer(1), 128)
    .option('--decode <n>', 'tokens generated one by one', integer(1), 64)
    .option('--together <n>', 'sequences that decode side by side as well', integer(1, 64), 1)
    .option('--repeats <n>', 'measured rounds; the median counts', integer(1, 1000), 3)
    .option('--json', 'print JSON');
  withEngineOptions(command).action(run);
}

async function run(flags: Flags): Promise<void> {
  const signal = processSignal();
  const started = performance.now();
  const engine = await openEngine(
    modelFolder(flags.model),
    {
      ...engineOptions(flags),
      sequences: flags.together,
      contextLength: flags.context ?? flags.prefill + flags.decode,
    },
    { signal, onNotice: printNotice },
  );
  try {
    const loadSeconds = (performance.now() - started) / 1000;
    const speed = await measureSpeed(engine, {
      ...flags,
      signal,
      onProgress: progressOutput(flags.json === true ? 'none' : 'auto'),
    });
    // After the run: with what the KV cache and the working memory have come to.
    const memory = engine.memory();
    const { device, modelBytes } = memory;
    // What one more token reads: every weight but the embedding's rows of other tokens, and the keys and values so far.
    const decodeBytes = bytesADecodeStepReads(memory, flags.prefill + flags.decode / 2, engine.contextLength);
    if (flags.json === true) {
      const threads = nativeAddon()?.threads() ?? 1;
      const rssBytes = process.memoryUsage.rss();
      const { path } = device;
      process.stdout.write(
        `${JSON.stringify({ ...speed, decodeBytes, threads, path, loadSeconds, modelBytes, rssBytes, memory })}\n`,
      );
      return;
    }
    const { together } = speed;
    const rate = ({ tokens, tokensPerSecond }: { tokens: number; tokensPerSecond: number }) =>
      `${tokensPerSecond.toFixed(1)} tokens/s (${tokens} tokens)`;
    process.stdout.write(
      `${device.kind.toUpperCase()}: ${device.name}, ${device.path}${device.reason === undefined ? '' : ` (${device.reason})`}\n` +
        `model ${(modelBytes / 1e6).toFixed(1)} MB, loaded in ${loadSeconds.toFixed(1)} s\n` +
        `prefill ${rate(speed.prefill)}\ndecode  ${rate(speed.decode)}, reading ${(decodeBytes / 1e6).toFixed(1)} MB ` +
        `each: ${((speed.decode.tokensPerSecond * decodeBytes) / 1e9).toFixed(2)} GB/s\n` +
        (together === undefined ? '' : `${together.sequences} together ${rate(together)}\n`) +
        memoryTable(memory),
    );
  } finally {
    await engine.dispose();
  }
}

function bytesADecodeStepReads({ parts }: MemoryReport, positions: number, contextLength: number): number {
  // A table that is the head as well is read whole.
  const isTied = !parts.some(({ part }) => part === 'head');
  return parts.reduce((sum, { part, bytes }) => {
    if (part === 'kv-cache') return sum + (bytes * positions) / contextLength;
    return part === 'scratch' || (part === 'embedding' && !isTied) ? sum : sum + bytes;
  }, 0);
}

/** Bytes of each part, and what was planned for it where memory was planned before the load. */
function memoryTable({ parts }: MemoryReport): string {
  const megabytes = (bytes: number | undefined) => (bytes === undefined ? '' : (bytes / 1e6).toFixed(2));
  const isPlanned = parts.some(({ plannedBytes }) => plannedBytes !== undefined);
  const row = (name: string, bytes: number, planned: number | undefined, fp16: number) => [
    name,
    megabytes(bytes),
    ...(isPlanned ? [megabytes(planned)] : []),
    megabytes(fp16),
  ];
  const sum = (of: (part: MemoryReport['parts'][number]) => number) =>
    parts.reduce((total, part) => total + of(part), 0);
  return table([
    ['memory', 'MB', ...(isPlanned ? ['planned'] : []), 'in fp16'],
    ...parts.map(({ part, bytes, plannedBytes, fp16Bytes }) => row(part, bytes, plannedBytes, fp16Bytes)),
    row(
      'all',
      sum(({ bytes }) => bytes),
      sum(({ plannedBytes }) => plannedBytes ?? 0),
      sum(({ fp16Bytes }) => fp16Bytes),
    ),
  ]);
}
