import type { Command } from 'commander';
import { readNpyMatrix } from '../svid/npy.ts';
import { svid } from '../svid/svid.ts';
import { processSignal } from './signals.ts';

/** `onebit svid`: the factors of one matrix, for scripts and comparison. */
export function register(program: Command): void {
  program
    .command('svid')
    .description('Split one matrix (out, in) into signs and the two vectors g (in) and h (out).')
    .requiredOption('--tensor <file.npy>', 'NumPy file of a 2-D float array')
    .option('--json', 'print {"rel_error","g","h"} as JSON')
    .action(async ({ tensor, json }: { tensor: string; json?: boolean }) => {
      const { rows, columns, values } = await readNpyMatrix(tensor);
      const { g, h, relativeError, iterations } = await svid(values, rows, columns, {
        name: tensor,
        signal: processSignal(),
      });
      if (json === true) {
        const result = { rel_error: relativeError, g: Array.from(g), h: Array.from(h) };
        process.stdout.write(`${JSON.stringify(result)}\n`);
        return;
      }
      process.stdout.write(
        `${tensor}: ${rows} × ${columns}\nrelative error ${relativeError.toPrecision(6)} after ${iterations} passes\n` +
          `g (${columns} input values): ${summary(g)}\nh (${rows} output values): ${summary(h)}\n`,
      );
    });
}

function summary(values: Float32Array): string {
  let [sum, min, max] = [0, Infinity, -Infinity];
  for (const value of values) {
    sum += value;
    min = Math.min(min, value);
    max = Math.max(max, value);
  }
  return `mean ${(sum / values.length).toPrecision(4)}, from ${min.toPrecision(4)} to ${max.toPrecision(4)}`;
}
