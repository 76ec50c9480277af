import { spawn, spawnSync, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inspectLayers } from '../../server/inspect/layers.ts';
import { runCheckpoints, runOf } from '../../server/inspect/run-files.ts';
import { inspectTile } from '../../server/inspect/tile.ts';
import { metricSchema, type Metric } from '../../server/protocol/job.ts';
import { progressSchema } from '../../server/protocol/progress.ts';
import { writeByteTokenizer } from '../reference/byte-tokenizer.ts';
import { writeRandomCheckpoint } from '../reference/random-checkpoint.ts';
import { cleanUp, commandLine, temporaryFolder } from './serve-process.ts';

let program: string;
let folder: string;
let teacher: string;
let data: string;

beforeAll(async () => {
  program = await commandLine();
  folder = temporaryFolder('training');
  teacher = join(folder, 'teacher');
  mkdirSync(teacher);
  writeRandomCheckpoint(teacher, { layout: 'full', vocabSize: 264, bosTokenId: null, eosTokenId: null });
  writeByteTokenizer(teacher, { end: true });
  data = join(folder, 'text.txt');
  writeFileSync(data, 'let one = 1;\nlet two = one + one;\n'.repeat(60));
});
afterAll(cleanUp);

interface Ended {
  code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

/** Runs a command; `onOutput` may kill it. */
async function run(
  args: string[],
  onOutput?: (stdout: string, kill: (signal: NodeJS.Signals) => void) => void,
): Promise<Ended> {
  const child = spawn(process.execPath, [program, ...args]);
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    onOutput?.(stdout, (signal) => child.kill(signal));
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return new Promise((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

const options = (...more: string[]) => [
  ...['--window', '16', '--batch', '2', '--steps', '30', '--checkpoint-steps', '4', '--warmup', '3'],
  ...['--held-out-windows', '2', '--held-out-share', '0.1', '--measurements', '3', '--threads', '1', ...more],
];
const distill = (output: string, ...more: string[]) => [
  ...['distill', '--teacher', teacher, '--data', data, '--output', output, ...options(...more)],
];
/** What must not depend on when a run was interrupted: the metrics but for the clock's. */
const curve = (output: string): Metric[] =>
  readFileSync(join(`${output}.run`, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => ({ ...metricSchema.parse(JSON.parse(line)), seconds: 0, tokensPerSecond: 0 }));

/** Calls back once, when progress has come to a step. */
function atStep(step: number, then: (kill: (signal: NodeJS.Signals) => void) => void) {
  let done = false;
  return (stdout: string, kill: (signal: NodeJS.Signals) => void): void => {
    if (done || !stdout.includes(`"phase":"distill","done":${step},`)) return;
    done = true;
    then(kill);
  };
}

describe('onebit distill', () => {
  let whole: string;

  it('reports progress a line at a time and its result on the last one', async () => {
    whole = join(folder, 'whole');
    const { code, stdout, stderr } = await run(distill(whole, '--progress', 'json', '--json'));
    expect(code, stderr).toBe(0);
    // Nothing but what it trains on, and why.
    expect(stderr).toMatch(/^onebit: trains on .+\.\n$/);
    const lines = stdout.trim().split('\n');
    const reports = lines.slice(0, -1).map((line) => {
      expect(line).toMatch(/^progress \{/);
      return progressSchema.parse(JSON.parse(line.slice('progress '.length)));
    });
    expect(reports.filter(({ phase }) => phase === 'SVID').length).toBeGreaterThan(6);
    const metrics = reports.flatMap(({ metric }) => (metric === undefined ? [] : [metric]));
    expect(metrics.map(({ step }) => step)).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
    expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({
      output: whole,
      steps: 30,
      tokens: 960,
      perplexity: { student: metrics.at(-1)?.perplexity },
    });
    expect(readdirSync(whole).sort()).toEqual([
      'config.json',
      'model.safetensors',
      'onebit.json',
      'tokenizer.json',
    ]);
  });

  it('leaves metrics that export-metrics turns into TensorBoard events and CSV', async () => {
    const [tensorboard, csv] = [join(folder, 'logs'), join(folder, 'tables', 'whole.csv')];
    const args = ['export-metrics', '--run', `${whole}.run`];
    const done = await run([...args, '--tensorboard', tensorboard, '--csv', csv]);
    expect([done.code, done.stderr]).toEqual([0, '']);
    expect(readFileSync(csv, 'utf8').trim().split('\r\n')).toHaveLength(31);
    const events = readFileSync(join(tensorboard, 'whole.run', 'events.out.tfevents.0.onebit'));
    expect(events.includes('signFlips/sinceStart/layer-0')).toBe(true);
    expect(await run(args)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--csv FILE') as unknown,
    });
    expect((await run(['export-metrics', '--run', folder, '--csv', csv])).stderr).toContain('metrics.jsonl');
  });

  it('keeps its signs over the run, which the inspector compares: flips as the metrics have them', async () => {
    const run = `${whole}.run`;
    expect([await runOf(whole), await runOf(run), await runOf(folder)]).toEqual([run, run, undefined]);
    const { checkpoints } = await runCheckpoints(run);
    expect(checkpoints.map(({ step, kind }) => `${step} ${kind}`)).toEqual([
      ...['0 packed', '10 packed', '20 packed', '28 training', '30 training'],
    ]);
    expect(await runOf(checkpoints[0]?.path ?? '')).toBe(run);
    expect(await runOf(checkpoints[4]?.path ?? '')).toBe(run);
    const pathAt = (step: number) => checkpoints.find((one) => one.step === step)?.path ?? '';
    const flips = async (from: number, to: number) => {
      const { layers } = await inspectLayers(pathAt(to), { other: pathAt(from) });
      expect(layers).toHaveLength(14);
      return [0, 1].map((layer) => {
        let [signs, turned] = [0, 0];
        for (const one of layers.filter((matrix) => matrix.layer === layer)) {
          signs += one.rows * one.columns;
          turned += one.rows * one.columns * (1 - (one.other?.signAgreement ?? NaN));
        }
        return turned / signs;
      });
    };
    const metrics = curve(whole);
    for (const [from, to] of [
      [0, 10],
      [10, 20],
      [0, 20],
      [20, 30],
      [0, 30],
    ] as const) {
      const measured = metrics[to - 1]?.signFlips?.[from === to - 10 ? 'sinceLast' : 'sinceStart'] ?? [];
      (await flips(from, to)).forEach((share, layer) => {
        expect(share, `layer ${layer} from ${from} to ${to}`).toBeCloseTo(measured[layer] ?? NaN, 9);
      });
    }
    const { layers } = await inspectLayers(pathAt(30), { teacher });
    expect(layers.every(({ nearZeroShare }) => (nearZeroShare ?? 0) > 0)).toBe(true);
    // The packed model has the signs of the last checkpoint.
    const packed = await inspectLayers(whole, { teacher, other: pathAt(30) });
    expect(packed.layers.map(({ other }) => other?.signAgreement)).toEqual(layers.map(() => 1));
    const tile = { name: 'model.layers.0.mlp.up_proj', level: 0, x: 0, y: 0 };
    expect(await inspectTile({ model: pathAt(30), ...tile })).toEqual(
      await inspectTile({ model: whole, ...tile }),
    );
  });

  it('goes on after SIGKILL and after SIGTERM to the same curve and the same file', async () => {
    const output = join(folder, 'killed');
    const args = distill(output, '--progress', 'json');
    const killed = await run(
      args,
      atStep(10, (kill) => kill('SIGKILL')),
    );
    expect(killed.signal).toBe('SIGKILL');
    const stopped = await run(
      args,
      atStep(20, (kill) => kill('SIGTERM')),
    );
    expect(stopped.code).toBe(130);
    expect(stopped.stderr).toMatch(/Stopped after step \d+; run it again to continue/);
    expect(existsSync(output)).toBe(false);
    expect((await run(args)).code).toBe(0);
    expect(curve(output)).toEqual(curve(whole));
    const file = 'model.safetensors';
    expect(readFileSync(join(output, file)).equals(readFileSync(join(whole, file)))).toBe(true);
    const signs = (run: string) => {
      const place = join(`${run}.run`, 'signs');
      return readdirSync(place).map((name) => [name, readFileSync(join(place, name)).toString('base64')]);
    };
    expect(signs(output)).toEqual(signs(whole));
  });

  it('takes the preset of the teacher’s size or the one named, and explicit options over it', async () => {
    const made = async (name: string, ...more: string[]) => {
      const output = join(folder, name);
      const { code, stdout, stderr } = await run(
        distill(output, '--steps', '2', '--progress', 'none', ...more),
      );
      expect([code, stderr]).toEqual([0, '']);
      return { stdout, record: JSON.parse(readFileSync(join(output, 'onebit.json'), 'utf8')) as unknown };
    };
    const small = await made('preset-small');
    expect(small.stdout).toContain('preset small');
    expect(small.record).toMatchObject({
      preset: 'small',
      recipe: { learningRate: 0.002, latentStart: 'weights', embeddings: 'trained', klWeight: 1 },
    });
    const paper = await made(
      'preset-paper',
      '--preset',
      'paper',
      '--learning-rate',
      '0.003',
      '--norms',
      'trained',
    );
    expect(paper.stdout).toContain('preset paper');
    expect(paper.record).toMatchObject({
      preset: 'paper',
      recipe: {
        learningRate: 0.003,
        latentStart: 'signs',
        latentScale: 0.01,
        embeddings: 'frozen',
        norms: 'trained',
        klWeight: 20.48,
      },
    });
  });

  it('ends with one clear line for what it cannot use', async () => {
    const bad = join(folder, 'bad.jsonl');
    writeFileSync(bad, '{"text": "fine"}\n{"text": }\n');
    const empty = join(folder, 'empty');
    mkdirSync(empty);
    const cases: [string[], number, RegExp][] = [
      [['--data', bad], 1, /bad\.jsonl: line 2 is not JSON/],
      [['--data', empty], 1, /empty holds no text to train on/],
      [['--data', join(folder, 'nowhere')], 1, /nowhere/],
      [['--window', '4096'], 2, /--window 4096 is more than the model's \d+ positions: use at most/],
      [['--teacher', whole], 2, /the teacher must be a full-precision one/],
      [['--student', teacher], 2, /is a full-precision model/],
      [['--output', teacher], 2, /--output .*teacher is a model that the run reads/],
      [['--output', join(folder, 'r'), '--run', join(folder, 'r')], 2, /is the folder of the run/],
      // Before the data is looked at.
      [
        ['--output', whole, '--run', join(folder, 'r'), '--data', join(folder, 'nowhere')],
        2,
        /whole already holds a model/,
      ],
      [['--output', folder, '--restart'], 2, /is in use \(it holds/],
    ];
    for (const [change, code, message] of cases) {
      const ended = await run([...distill(join(folder, 'never')), ...change]);
      expect([ended.code, ended.stdout], change.join(' ')).toEqual([code, '']);
      expect(ended.stderr).toMatch(message);
      expect(ended.stderr.trim().split('\n').at(-1)).toMatch(/^onebit: /);
    }
    expect(existsSync(join(folder, 'never'))).toBe(false);
  });
});

describe('a full disk', () => {
  let disk: string;
  let mounted = false;
  beforeAll(() => {
    disk = temporaryFolder('disk');
    mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', disk]).status === 0;
  });
  afterAll(async () => {
    for (let i = 0; mounted && i < 50; i++) {
      if (spawnSync('umount', [disk]).status === 0) break;
      await sleep(100);
    }
  });

  it('stops a run with a clear error, keeps its last checkpoint, and the run goes on with space', async (context) => {
    if (!mounted) context.skip('a tmpfs cannot be mounted here');
    const output = join(disk, 'student');
    const args = distill(output, '--progress', 'json');
    const ballast = join(disk, 'ballast');
    const full = await run(
      args,
      atStep(6, () => {
        // Fills the disk to the last byte: dd ends with "no space left".
        spawnSync('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=4k']);
      }),
    );
    expect(full.code).toBe(1);
    expect(full.stderr).toMatch(/No space left on the disk/);
    expect(readdirSync(join(`${output}.run`, 'checkpoints'))).toContain('step-4');
    rmSync(ballast);
    expect((await run(args)).code).toBe(0);
    expect(curve(output)).toEqual(curve(join(folder, 'whole')));
  });
});

describe('onebit train', () => {
  it('makes a model that onebit generates from', async () => {
    const output = join(folder, 'trained');
    const shape = ['--hidden', '16', '--ffn', '24', '--layers', '1', '--heads', '2', '--kv-heads', '1'];
    const trained = await run([
      ...['train', '--tokenizer', teacher, '--data', data, '--output', output, ...shape],
      ...[...options('--positions', '64'), '--progress', 'none', '--json'],
    ]);
    expect([trained.code, trained.stderr]).toEqual([0, '']);
    expect(JSON.parse(trained.stdout)).toMatchObject({ steps: 30, output });
    const text = execFileSync(process.execPath, [
      ...[program, 'generate', '--model', output, '--prompt', 'let', '--max-tokens', '4', '--json'],
    ]);
    expect(JSON.parse(text.toString())).toHaveProperty('ids');
  });
});

describe('onebit generate-data', () => {
  const generate = (output: string, ...more: string[]) => [
    ...['generate-data', '--model', teacher, '--output', output, '--samples', '1000', '--tokens', '40'],
    ...['--seed', '5', ...more],
  ];

  it('writes the same data after kills as undisturbed, and one can train on them', async () => {
    const whole = join(folder, 'whole.jsonl.gz');
    const { code, stdout, stderr } = await run(generate(whole, '--progress', 'none', '--json'));
    expect([code, stderr]).toEqual([0, '']);
    const result = JSON.parse(stdout) as { samples: number; tokens: number };
    expect(result.samples).toBe(1000);

    const output = join(folder, 'killed.jsonl.gz');
    for (let kills = 0; kills < 3; kills++) {
      const ended = await run(generate(output, '--progress', 'json', '--batch', '3'), (text, kill) => {
        if (text.includes('"phase":"generate data"')) kill('SIGKILL');
      });
      expect(ended.signal).toBe('SIGKILL');
    }
    expect(existsSync(output)).toBe(false);
    const last = await run(generate(output, '--progress', 'none', '--json'));
    expect(JSON.parse(last.stdout)).toMatchObject({ output, samples: 1000, tokens: result.tokens });
    expect(readFileSync(output).equals(readFileSync(whole))).toBe(true);
    expect((await run(generate(output))).stderr).toMatch(/exists already/);

    const student = join(folder, 'student-of-samples');
    const distilled = await run([
      ...['distill', '--teacher', teacher, '--data', output, '--output', student, ...options('--steps', '2')],
      ...['--progress', 'none', '--json'],
    ]);
    expect([distilled.code, distilled.stderr]).toEqual([0, '']);
  });
});
