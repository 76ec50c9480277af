import { Command } from 'commander';
import { asOneBitError } from '../protocol/error.ts';
import { jobVariable } from '../protocol/job.ts';
import { packageVersion } from '../package-root.ts';
import { register as registerDevices } from './devices.ts';
import { register as registerDistill } from './distill.ts';
import { register as registerBench } from './bench.ts';
import { register as registerCompare } from './compare.ts';
import { register as registerEval } from './eval.ts';
import { register as registerExportMetrics } from './export-metrics.ts';
import { register as registerGenerate } from './generate.ts';
import { register as registerGenerateData } from './generate-data.ts';
import { register as registerInspect } from './inspect.ts';
import { register as registerQuantize } from './quantize.ts';
import { register as registerServe } from './serve.ts';
import { register as registerSvid } from './svid.ts';
import { register as registerTrain } from './train.ts';

const program = new Command('onebit')
  .description('1-bit LLaMA models: quantize, distill, inspect, serve.')
  .version(packageVersion());

// Each subcommand lives in a file of its own that exports `register(program)`.
registerDevices(program);
registerDistill(program);
registerBench(program);
registerCompare(program);
registerEval(program);
registerExportMetrics(program);
registerGenerate(program);
registerGenerateData(program);
registerInspect(program);
registerQuantize(program);
registerServe(program);
registerSvid(program);
registerTrain(program);

program.parseAsync().catch((caught: unknown) => {
  const error = asOneBitError(caught);
  process.stderr.write(`onebit: ${error.message}\n`);
  if (process.env[jobVariable] === '1') {
    process.stdout.write(`error ${JSON.stringify({ code: error.code, message: error.message })}\n`);
  }
  process.exitCode = error.code === 'cancelled' ? 130 : error.code === 'bad-request' ? 2 : 1;
});
