/**
 * A process of its own with a native engine, or that in WebAssembly, on the instruction set that ONEBIT_CPU names (the choice is
 * made once a process). Reads `EngineJob[]` from the file in argv[2], writes the logits of all jobs to
 * the file in argv[3] as f32, and prints the instruction set that ran.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { openEngine } from '../../server/engine/open-engine.ts';

export interface EngineJob {
  path: string;
  exact: boolean;
  headBits: 8 | 16;
  /** Tokens of each forward call of one sequence; all logits of all calls are wanted. */
  calls: number[][];
}

const [, , jobsFile = '', outputFile = ''] = process.argv;
const jobs = JSON.parse(readFileSync(jobsFile, 'utf8')) as EngineJob[];
const logits: Uint8Array[] = [];
const kernels = process.env.ONEBIT_CPU === 'wasm' ? 'wasm' : 'native';
let isa = '';
for (const { path, exact, headBits, calls } of jobs) {
  const engine = await openEngine(path, { path: kernels, exact, headBits });
  const sequence = engine.open();
  for (const tokens of calls) {
    for (const output of await engine.forward([{ sequence, tokens, logits: 'all' }])) {
      logits.push(new Uint8Array(output.buffer));
    }
  }
  isa = engine.memory().device.path;
  await engine.dispose();
}
writeFileSync(outputFile, Buffer.concat(logits));
console.log(isa);
