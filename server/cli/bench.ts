import type { Command } from 'commander';
import { modelFolder } from '../checkpoint/starter.ts';
import { openEngine } from '../engine/open-engine.ts';
import { measureSpeed } from '../evaluate/speed.ts';
import { nativeAddon } from '../native/addon.ts';
import { integer } from './arguments.ts';
import { engineOptions, withEngineOptions, type EngineFlags } from './engine-options.ts';
import { progressOutput } from './progress-output.ts';
import { processSignal } from './signals.ts';

interface Flags extends EngineFlags {
  model: string;
  prefill: number;
  decode: number;
  repeats: number;
  json?: boolean;
}

/** `onebit bench`: how fast a model runs on this machine. */
export function register(program: Command): void {
  const command = program
    .command('bench')
    .description('Measure prefill and decode speed of a model on this machine.')
    .option('--model <folder>', 'model folder, llama2.c file, or "starter"', 'starter')
    .option('--prefill <n>', 'tokens of the prompt', integer(1), 128)
    .option('--decode <n>', 'tokens generated one by one', integer(1), 64)
    .option('--repeats <n>', 'measured rounds; the median counts', integer(1, 1000), 3)
    .option('--json', 'print JSON');
  withEngineOptions(command).action(run);
}

async function run(flags: Flags): Promise<void> {
  const signal = processSignal();
  const started = performance.now();
  const engine = await openEngine(
    modelFolder(flags.model),
    { ...engineOptions(flags), sequences: 1, contextLength: flags.context ?? flags.prefill + flags.decode },
    { signal },
  );
  try {
    const loadSeconds = (performance.now() - started) / 1000;
    const speed = await measureSpeed(engine, {
      ...flags,
      signal,
      onProgress: progressOutput(flags.json === true ? 'none' : 'auto'),
    });
    const { device, modelBytes } = engine.memory();
    if (flags.json === true) {
      const threads = nativeAddon()?.threads() ?? 1;
      const rssBytes = process.memoryUsage.rss();
      process.stdout.write(
        `${JSON.stringify({ ...speed, threads, path: device.path, loadSeconds, modelBytes, rssBytes })}\n`,
      );
      return;
    }
    const rate = ({ tokens, tokensPerSecond }: { tokens: number; tokensPerSecond: number }) =>
      `${tokensPerSecond.toFixed(1)} tokens/s (${tokens} tokens)`;
    process.stdout.write(
      `${device.name}, ${device.path}; model ${(modelBytes / 1e6).toFixed(1)} MB, loaded in ${loadSeconds.toFixed(1)} s\n` +
        `prefill ${rate(speed.prefill)}\ndecode  ${rate(speed.decode)}\n`,
    );
  } finally {
    await engine.dispose();
  }
}
