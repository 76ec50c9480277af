import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../../server/checkpoint/open-checkpoint.ts';
import { unpackSigns } from '../../../server/checkpoint/sign-packing.ts';
import { presets } from '../../../server/distill/presets.ts';
import { distillStudent, type DistillOptions } from '../../../server/distill/distill-student.ts';
import { trainModel, type TrainModelOptions } from '../../../server/distill/train-model.ts';
import { metricSchema, type Metric } from '../../../server/protocol/job.ts';
import { identify } from '../../../server/process-identity.ts';
import type { Progress } from '../../../server/protocol/progress.ts';
import { writeByteTokenizer } from '../../reference/byte-tokenizer.ts';
import { LlamaReference } from '../../reference/llama-forward.ts';
import { readPlainTensors } from '../../reference/plain-safetensors.ts';
import { fastestBackends } from './training-backends.ts';
import { smallData, smallTrainer } from './small-run.ts';

const text = 'const a = [1, 2, 3];\nfor (const b of a) {\n  console.log(b);\n}\n'.repeat(12);
let folder: string;
let tokenizer: string;
let data: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'onebit-train-'));
  tokenizer = join(folder, 'tokenizer');
  await mkdir(tokenizer);
  writeByteTokenizer(tokenizer, { end: true });
  data = join(folder, 'data.txt');
  await writeFile(data, text);
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

function trainOptions(name: string, steps: number): TrainModelOptions {
  return {
    shape: {
      hiddenSize: 16,
      intermediateSize: 24,
      layers: 1,
      heads: 2,
      kvHeads: 1,
      headDim: 8,
      maxPositions: 64,
      ropeTheta: 10000,
      tieEmbeddings: true,
    },
    tokenizer,
    data: {
      ...smallData,
      data: [data],
      heldOut: [data],
      // The text that is learned is the one that is measured.
      deduplication: 'off',
      heldOutWindows: 2,
    },
    trainer: {
      ...smallTrainer,
      schedule: { peak: 1e-2, floor: 0.1, warmupSteps: 4, steps, seconds: undefined },
      batch: 4,
      microBatch: 2,
      measurements: 4,
    },
    recompute: 'none',
    output: join(folder, name),
    run: join(folder, `${name}.run`),
  };
}

function distillOptions(teacher: string, name: string, steps: number): DistillOptions {
  const { data, trainer, recompute, output, run } = trainOptions(name, steps);
  return {
    teacher,
    student: undefined,
    preset: 'paper',
    recipe: presets.paper,
    recompute,
    data,
    trainer: { ...trainer, schedule: { ...trainer.schedule, peak: 2e-3 } },
    output,
    run,
  };
}

const curve = async (run: string): Promise<Metric[]> =>
  (await readFile(join(run, 'metrics.jsonl'), 'utf8'))
    .trim()
    .split('\n')
    .map((line) => metricSchema.parse(JSON.parse(line)));
/** What must not depend on when a run was interrupted: everything but the clock. */
const figures = (metrics: Metric[]) =>
  metrics.map((metric) => ({ ...metric, seconds: 0, tokensPerSecond: 0 }));
const weightsOf = (path: string) => readFile(join(path, 'model.safetensors'));

/** Aborts when progress reports that many steps. */
function stopAfter(step: number) {
  const controller = new AbortController();
  return {
    signal: controller.signal,
    onProgress: ({ phase, done }: Progress) => {
      if ((phase === 'train' || phase === 'distill') && done === step) controller.abort();
    },
  };
}

describe.each(fastestBackends)('training on the %s backend', (_name, activate) => {
  beforeAll(activate);

  it('learns a small text, and its student learns from it', async () => {
    const reports: Progress[] = [];
    const trained = await trainModel(trainOptions('teacher', 60), { onProgress: (p) => reports.push(p) });
    expect(trained.steps).toBe(60);
    expect(trained.tokens).toBe(60 * 4 * 16);
    const metrics = await curve(join(folder, 'teacher.run'));
    expect(metrics.map(({ step }) => step)).toEqual(Array.from({ length: 60 }, (_, i) => i + 1));
    expect(metrics[59]?.loss).toBeLessThan(0.6 * (metrics[0]?.loss ?? 0));
    expect(metrics.filter((m) => m.perplexity !== undefined).map((m) => m.step)).toEqual([15, 30, 45, 60]);
    expect(trained.perplexity).toBe(metrics[59]?.perplexity);
    expect(reports.at(-1)).toMatchObject({ phase: 'train', done: 60, total: 60, remainingSeconds: 0 });

    const teacher = await openCheckpoint(trained.output);
    expect([teacher.kind, teacher.tensors.get('model.norm.weight')?.dtype]).toEqual(['full', 'F16']);
    await teacher.close();

    const options = distillOptions(trained.output, 'student', 60);
    const distilled = await distillStudent(options, {});
    expect(distilled.perplexity.teacher).toBeCloseTo(trained.perplexity, 1);
    expect(distilled.perplexity.student).toBeLessThan(0.7 * distilled.perplexity.start);
    const [first, last] = [(await curve(options.run))[0], (await curve(options.run)).at(-1)];
    expect(last?.kl).toBeLessThan(first?.kl ?? 0);
    expect(last?.loss).toBeCloseTo(20.48 * (last?.kl ?? 0) + (last?.hidden ?? 0), 4);
    expect(JSON.parse(await readFile(join(options.output, 'onebit.json'), 'utf8'))).toMatchObject({
      method: 'distillation',
      steps: 60,
      heldOutPerplexity: distilled.perplexity,
    });

    // The packed student carries the signs of the last checkpoint's latent weights; what is frozen is the teacher's.
    const [student, training, original] = await Promise.all([
      openCheckpoint(options.output),
      readFile(join(options.run, 'run.json'), 'utf8'),
      openCheckpoint(trained.output),
    ]);
    expect(student.kind).toBe('onebit');
    expect(JSON.parse(training)).toMatchObject({ kind: 'distill', seed: 1 });
    const norm = 'model.layers.0.input_layernorm.weight';
    expect(await student.readFloats(norm)).toEqual(await original.readFloats(norm));
    const signs = unpackSigns(await student.readBytes('model.layers.0.mlp.up_proj.weight'));
    const before = await original.readFloats('model.layers.0.mlp.up_proj.weight');
    const turned = signs.filter((sign, i) => sign !== ((before[i] ?? 0) < 0 ? -1 : 1)).length;
    expect(turned).toBeGreaterThan(0);
    await Promise.all([student.close(), original.close()]);

    // A packed student is a start for more distillation.
    const again = await distillStudent(
      { ...distillOptions(trained.output, 'again', 2), student: options.output },
      {},
    );
    expect(again.perplexity.start / distilled.perplexity.student).toBeCloseTo(1, 2);
  });

  it('continues a stopped run to the same weights and the same curve', async () => {
    const whole = await trainModel(trainOptions('whole', 12), {});
    const options = trainOptions('parts', 12);
    for (const step of [3, 8]) {
      await expect(trainModel(options, stopAfter(step))).rejects.toMatchObject({ code: 'cancelled' });
      expect(existsSync(options.output)).toBe(false);
    }
    const parts = await trainModel(options, {});
    expect(await weightsOf(parts.output)).toEqual(await weightsOf(whole.output));
    expect(figures(await curve(options.run))).toEqual(figures(await curve(join(folder, 'whole.run'))));

    const student = distillOptions(whole.output, 'student', 8);
    const uninterrupted = await distillStudent({ ...student, recipe: presets.small }, {});
    const stopped = { ...distillOptions(whole.output, 'stopped', 8), recipe: presets.small };
    await expect(distillStudent(stopped, stopAfter(6))).rejects.toMatchObject({ code: 'cancelled' });
    const finished = await distillStudent(stopped, {});
    expect(await weightsOf(finished.output)).toEqual(await weightsOf(uninterrupted.output));
    expect(finished.perplexity).toEqual(uninterrupted.perplexity);
  });

  it('keeps two checkpoints, falls back from a damaged one, and refuses other options', async () => {
    const options = trainOptions('model', 14);
    await trainModel(options, {});
    const checkpoints = join(options.run, 'checkpoints');
    expect((await readdir(checkpoints)).sort()).toEqual(['step-10', 'step-14']);
    const before = await weightsOf(options.output);
    await writeFile(join(checkpoints, 'step-14', 'optimizer.safetensors'), 'cut');
    await trainModel(options, {});
    expect(await weightsOf(options.output)).toEqual(before);

    options.data.seed = 2;
    await expect(trainModel(options, {})).rejects.toMatchObject({
      code: 'bad-request',
      message: expect.stringMatching(/seed = 1, now it is 2.*--restart/) as unknown,
    });
  });

  it('refuses a checkpoint of another run, and a run that another process works on', async () => {
    const options = trainOptions('model', 5);
    await trainModel(options, {});
    const other = trainOptions('other', 5);
    other.data.seed = 2;
    await trainModel(other, {});
    const strange = join(options.run, 'checkpoints', 'step-9');
    await cp(join(other.run, 'checkpoints', 'step-5'), strange, { recursive: true });
    await expect(trainModel(options, {})).rejects.toMatchObject({
      code: 'bad-request',
      message: expect.stringMatching(/step-9 is a checkpoint of another run.*--restart/) as unknown,
    });
    await rm(strange, { recursive: true });
    const owner = join(options.run, 'process.json');
    await writeFile(owner, JSON.stringify(identify(process.ppid)));
    await expect(trainModel(options, {})).rejects.toMatchObject({
      code: 'busy',
      message: expect.stringContaining(`Process ${process.ppid} works on the run`) as unknown,
    });
    // Of a process that was killed.
    await writeFile(owner, JSON.stringify({ ...identify(process.ppid), bootId: 'an earlier boot' }));
    await trainModel(options, {});
    expect(existsSync(owner)).toBe(false);
  });

  it('measures sign flips by layer, and completes the held-out prompt', async () => {
    const { output } = await trainModel(trainOptions('teacher', 20), {});
    const options = distillOptions(output, 'student', 8);
    options.recipe = { ...presets.paper, latentStart: 'weights' };
    options.trainer.schedule.peak = 5e-3;
    options.trainer.measurements = 4;
    options.trainer.checkpointSteps = 2;
    await distillStudent(options, {});
    const measured = (await curve(options.run)).filter(({ perplexity }) => perplexity !== undefined);
    expect(measured.map(({ step }) => step)).toEqual([2, 4, 6, 8]);
    expect((await curve(options.run)).filter(({ signFlips, sample }) => signFlips ?? sample)).toHaveLength(4);
    // Against the weights in the teacher and the latent ones in the checkpoints, sign by sign.
    const weightsIn = (path: string): number[] =>
      [...readPlainTensors(path)]
        .filter(([name]) => /^model.*proj\.weight$/.test(name))
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .flatMap(([, { values }]) => [...values]);
    const [sixth, eighth] = [6, 8].map((step) => weightsIn(join(options.run, 'checkpoints', `step-${step}`)));
    const start = weightsIn(output);
    const share = (a: number[] = [], b: number[] = []) =>
      a.filter((value, i) => value < 0 !== (b[i] ?? 0) < 0).length / a.length;
    const last = measured[3]?.signFlips;
    expect(last?.sinceLast).toEqual([share(eighth, sixth)]);
    expect(last?.sinceStart).toEqual([share(eighth, start)]);
    expect(share(eighth, start)).toBeGreaterThan(0);

    // Half a window of the held-out text is the prompt; the rest is what a plain forward pass finds likeliest.
    const prompt = text.slice(0, 8);
    const ids = new LlamaReference(output).greedy([...new TextEncoder().encode(prompt)], 9);
    const samples = measured.map(({ sample }) => sample);
    expect(samples[0]).toEqual({
      completion: expect.any(String) as unknown,
      prompt,
      teacher: Buffer.from(ids).toString(),
    });
    expect(samples.slice(1).every((sample) => sample?.prompt === undefined)).toBe(true);
  });

  it('says that training diverged and keeps the last good checkpoint', async () => {
    const options = trainOptions('model', 40);
    // A step this long overflows f32 within a few steps; no clipping or warm-up in its way.
    options.trainer.schedule = { ...options.trainer.schedule, peak: 1e30, warmupSteps: 0 };
    options.trainer.checkpointSteps = 1;
    const error = await trainModel(options, {}).catch((caught: unknown) => caught);
    expect(error).toMatchObject({
      code: 'diverged',
      message: expect.stringMatching(/lower learning rate \(--learning-rate 2\.5e\+29 instead/) as unknown,
    });
    const named = /checkpoint is (\S+)\.$/.exec((error as Error).message)?.[1] ?? '';
    expect(existsSync(join(named, 'model.safetensors'))).toBe(true);
    expect(existsSync(options.output)).toBe(false);
  });

  it('refuses a run that memory cannot hold before it begins, with the numbers', async () => {
    const options = trainOptions('model', 4);
    options.trainer.batch = options.trainer.microBatch = 10_000_000;
    await expect(trainModel(options, {})).rejects.toMatchObject({
      code: 'out-of-memory',
      message: expect.stringMatching(
        /needs about \d+ MB .*activations \d+ MB.* and \d+ MB are available\. Use a smaller --micro-batch/,
      ) as unknown,
    });
    expect(existsSync(options.run)).toBe(false);
  });

  it('fits the schedule to the minutes given', async () => {
    const options = trainOptions('model', 1);
    options.trainer.schedule = {
      ...options.trainer.schedule,
      warmupSteps: 0,
      steps: undefined,
      seconds: 1.5,
    };
    const { seconds, steps } = await trainModel(options, {});
    expect(seconds).toBeGreaterThanOrEqual(1.5);
    const rates = (await curve(options.run)).map(({ learningRate }) => learningRate);
    expect(rates).toHaveLength(steps);
    expect(rates).toEqual([...rates].sort((a, b) => b - a));
    expect(rates[0]).toBeGreaterThan(rates.at(-1) ?? Infinity);
  });

  it('goes on from the latent weights of another run, in a round of its own', async () => {
    const { output: teacher } = await trainModel(trainOptions('teacher', 20), {});
    const first = distillOptions(teacher, 'first', 6);
    first.recipe = presets.small;
    first.trainer.schedule.peak = 5e-3;
    const { perplexity } = await distillStudent(first, {});
    const second = distillOptions(teacher, 'second', 3);
    second.recipe = presets.small;
    second.student = first.run;
    const { perplexity: after, output } = await distillStudent(second, {});
    expect(after.start).toBeCloseTo(perplexity.student, 6);
    expect(existsSync(join(output, 'model.safetensors'))).toBe(true);
    // Sizes of the latent weights are the run's too: far from what a start from packed signs would give them.
    const latents = (run: string, step: number) =>
      readPlainTensors(join(run, 'checkpoints', `step-${step}`)).get('model.layers.0.mlp.up_proj.weight')
        ?.values ?? [];
    const moved = [...latents(second.run, 3)].map((value, i) =>
      Math.abs(value - (latents(first.run, 6)[i] ?? 0)),
    );
    expect(Math.max(...moved)).toBeLessThan(3.5 * second.trainer.schedule.peak);
    await expect(distillStudent({ ...second, student: join(folder, 'teacher.run') }, {})).rejects.toThrow(
      /is not the run of a 1-bit student/,
    );
  });

  it('refuses a 1-bit teacher, a full-precision student and a student of another shape', async () => {
    const { output } = await trainModel(trainOptions('teacher', 1), {});
    const { output: oneBit } = await distillStudent(distillOptions(output, 'student', 1), {});
    const other = trainOptions('other', 1);
    other.shape.intermediateSize = 32;
    const { output: wider } = await trainModel(other, {});
    const attempt = (change: Partial<DistillOptions>) =>
      distillStudent({ ...distillOptions(output, 'x', 1), ...change }, {});
    await expect(attempt({ teacher: oneBit })).rejects.toThrow(/must be a full-precision/);
    await expect(attempt({ student: output })).rejects.toThrow(/is a full-precision model/);
    await expect(attempt({ student: wider })).rejects.toThrow(/has intermediateSize 32, the teacher 24/);
    const config = join(oneBit, 'config.json');
    const said = await readFile(config, 'utf8');
    await writeFile(config, JSON.stringify({ ...(JSON.parse(said) as object), rope_theta: 500000 }));
    await expect(attempt({ student: oneBit })).rejects.toThrow(
      /has ropeTheta 500000, the teacher 10000: .*Give/,
    );
    await writeFile(config, said);
    const file = join(oneBit, 'tokenizer.json');
    const swapped = (await readFile(file, 'utf8')).replace('"a":97,"b":98', '"b":97,"a":98');
    await writeFile(file, swapped);
    await expect(attempt({ student: oneBit })).rejects.toThrow(
      /tokenizers differ: token 97 is "b" in .* and "a" in /,
    );
    await expect(attempt({ teacher: join(folder, 'absent') })).rejects.toMatchObject({ code: 'not-found' });
  });
});
