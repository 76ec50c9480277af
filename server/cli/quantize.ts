import { Option, type Command } from 'commander';
import { modelFolder } from '../checkpoint/starter.ts';
import { quantize } from '../svid/quantize.ts';
import { progressOutput } from './progress-output.ts';
import { processSignal } from './signals.ts';

interface QuantizeFlags {
  model: string;
  output: string;
  overwrite?: boolean;
  progress: 'auto' | 'json' | 'none';
  json?: boolean;
}

/** `onebit quantize`: a full-precision checkpoint becomes a packed 1-bit one by SVID. */
export function register(program: Command): void {
  program
    .command('quantize')
    .description('Make a 1-bit checkpoint from a full-precision one by SVID (the start for distill).')
    .requiredOption('--model <dir>', 'full-precision checkpoint, or starter-teacher')
    .requiredOption('--output <dir>', 'folder for the result; it must be new or empty')
    .option('--overwrite', 'replace a checkpoint that is in the output folder')
    .addOption(new Option('--progress <how>', 'progress').choices(['auto', 'json', 'none']).default('auto'))
    .option('--json', 'print the report as JSON')
    .action(async (flags: QuantizeFlags) => {
      const report = await quantize(modelFolder(flags.model), flags.output, {
        replace: flags.overwrite,
        signal: processSignal(),
        onProgress: progressOutput(flags.progress),
      });
      if (flags.json === true) {
        const peakRssBytes = process.resourceUsage().maxRSS * 1024;
        process.stdout.write(`${JSON.stringify({ ...report, peakRssBytes })}\n`);
        return;
      }
      const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
      process.stdout.write(
        `${report.output}: ${report.layers.length} matrices in 1 bit, ` +
          `${megabytes(report.sourceBytes)} → ${megabytes(report.bytes)}, ` +
          `mean relative error ${report.meanRelativeError.toFixed(4)}, ${report.seconds.toFixed(1)} s\n`,
      );
    });
}
