import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nativeAddon, nativeFailure } from '../../server/native/addon.ts';
import { metricSchema, type Metric } from '../../server/protocol/job.ts';
import { writeByteTokenizer } from '../reference/byte-tokenizer.ts';
import { writeRandomCheckpoint } from '../reference/random-checkpoint.ts';
import { noSoftwareAdapter, softwareDevice, softwareEnvironment } from '../reference/software-adapter.ts';
import { onebit } from './onebit-command.ts';
import { cleanUp, temporaryFolder } from './serve-process.ts';

const noNative = nativeAddon() === undefined;
if (noNative) console.warn(`Training on native kernels is not tested: ${nativeFailure()}`);
const webgpu = softwareDevice.replace(/^gpu/, 'webgpu');

let folder: string;
let teacher: string;
let data: string;

beforeAll(() => {
  folder = temporaryFolder('training-backends');
  teacher = join(folder, 'teacher');
  mkdirSync(teacher);
  writeRandomCheckpoint(teacher, { layout: 'full', vocabSize: 264, bosTokenId: null, eosTokenId: null });
  writeByteTokenizer(teacher, { end: true });
  data = join(folder, 'text.txt');
  writeFileSync(data, 'let one = 1;\nlet two = one + one;\n'.repeat(60));
});
afterAll(cleanUp);

const distill = (output: string, backend: string, steps = 5, environment: Record<string, string> = {}) =>
  onebit(
    [
      ...['distill', '--teacher', teacher, '--data', data, '--output', output, '--backend', backend],
      ...['--window', '8', '--batch', '1', '--steps', String(steps), '--checkpoint-steps', '2'],
      ...['--warmup', '1', '--held-out-windows', '1', '--held-out-share', '0.1', '--measurements', '0'],
      ...['--threads', '1'],
    ],
    { ...softwareEnvironment, ...environment },
  );
const metricsOf = (output: string): Metric[] =>
  readFileSync(join(`${output}.run`, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => metricSchema.parse(JSON.parse(line)));
const runOf = (output: string): unknown =>
  JSON.parse(readFileSync(join(`${output}.run`, 'run.json'), 'utf8'));

describe.skipIf(noNative || noSoftwareAdapter !== undefined)('five steps on webgpu', () => {
  it('have the losses of five steps on native, to 1e-4', async () => {
    const [native, gpu] = [join(folder, 'native'), join(folder, 'gpu')];
    const onNative = await distill(native, 'native');
    expect(onNative.stderr).toMatch(/^onebit: trains on native kernels \(.+, 1 threads\)\.$/m);
    const onGpu = await distill(gpu, webgpu);
    expect(onGpu.code, onGpu.stderr).toBe(0);
    expect(onGpu.stderr).toMatch(/^onebit: trains on WebGPU on .+ \(software\)\.$/m);
    const [expected, actual] = [metricsOf(native), metricsOf(gpu)];
    expect(actual).toHaveLength(5);
    for (const [i, wanted] of expected.entries()) {
      for (const name of ['loss', 'kl', 'hidden', 'gradientNorm'] as const) {
        const [is, was] = [actual[i]?.[name] ?? NaN, wanted[name] ?? NaN];
        expect(Math.abs(is / was - 1), `${name} at step ${i + 1}`).toBeLessThan(1e-4);
      }
    }
    expect(runOf(gpu)).toMatchObject({ backend: { option: expect.stringMatching(/^webgpu:/), reasons: [] } });

    // Going on with another says what that changes.
    rmSync(gpu, { recursive: true, force: true });
    const other = await distill(gpu, 'native');
    expect(other.stderr).toMatch(/so far was trained on WebGPU on .+ the curve will differ a little/);
    expect(runOf(gpu)).toMatchObject({ backend: { option: 'native' } });
    // A software GPU on cores that others use too takes its time.
  }, 400_000);
});

describe('a backend that cannot train here', () => {
  it('is passed over by auto, which says why and never takes a software GPU by itself', async () => {
    const output = join(folder, 'auto');
    const { code, stderr } = await distill(output, 'auto', 1);
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(/^onebit: trains on (native kernels|plain JavaScript)/m);
    expect(stderr).toContain('the CUDA backend is not installed.');
    expect(stderr).toContain(
      noSoftwareAdapter === undefined ? 'A software one is only taken by its name.' : 'GPU',
    );
  });

  it('is refused by name, with what to do', async () => {
    const { code, stderr } = await distill(join(folder, 'cuda'), 'tensorflow');
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /not installed. It needs .*CUDA 11\.2.*npm install @tensorflow\/tfjs-node-gpu@4\.22\.0/,
    );
    const unknown = await distill(join(folder, 'other'), 'opencl');
    expect(unknown.code).not.toBe(0);
    expect(unknown.stderr).toContain('Expected auto, native, cpu, tensorflow, webgpu');
  });

  it('says why an installed CUDA backend does not load, and trains elsewhere', async () => {
    const installed = join(folder, 'installed');
    const name = join(installed, 'node_modules', '@tensorflow', 'tfjs-node-gpu');
    mkdirSync(name, { recursive: true });
    writeFileSync(join(name, 'package.json'), '{ "main": "index.js" }');
    writeFileSync(
      join(name, 'index.js'),
      'throw new Error("libcudart.so.11.0: cannot open shared object file");',
    );
    const environment = { ONEBIT_TENSORFLOW: installed };
    const { code, stderr } = await distill(join(folder, 'broken'), 'auto', 1, environment);
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(/^onebit: trains on .*the CUDA backend does not load: libcudart.so.11.0/m);
    const byName = await distill(join(folder, 'named'), 'tensorflow', 1, environment);
    expect(byName.code).toBe(1);
    expect(byName.stderr).toContain('does not load: libcudart.so.11.0');
  });
});
