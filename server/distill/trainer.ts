import type { Metric } from '../protocol/job.ts';
import { OneBitError, asOneBitError } from '../protocol/error.ts';
import type { OnProgress, Progress, Sample } from '../protocol/progress.ts';
import { releaseIdleMemory } from './backend/backend-memory.ts';
import { tf } from './backend/tfjs.ts';
import { adamStep, clipScale, gradientNorm, type AdamMoments } from './ops/index.ts';
import { variableOf, type Parameters } from './parameters.ts';
import { DivergenceWatch } from './measure/divergence.ts';
import { SignFlips } from './measure/sign-flips.ts';
import type { RunState } from './run-checkpoint.ts';
import type { RunFolder } from './run-state.ts';
import { captureRun, restoreRun } from './run-tensors.ts';
import { learningRate, shareDone, type Schedule } from './schedule.ts';
import { SignHistory } from './sign-history.ts';
import type { WindowSource } from './data/windows.ts';

/** A batch of windows: `[count · window]` int32 each. */
export interface Batch {
  inputs: tf.Tensor1D;
  labels: tf.Tensor1D;
  count: number;
  window: number;
}

/** The loss of a batch with the figures that are shown; all scalars, means per token. */
export interface BatchLoss {
  loss: tf.Scalar;
  figures: Partial<Record<'kl' | 'hidden' | 'nll', tf.Scalar>>;
}

export interface TrainerOptions {
  /** What is being done, for progress: `train` or `distill`. */
  phase: string;
  schedule: Schedule;
  /** Windows of a step. */
  batch: number;
  /** Windows that go through the graph at once; gradients add up to `batch` (accumulation). */
  microBatch: number;
  window: number;
  /** Largest norm of the whole gradient; 0 for no limit. */
  clip: number;
  /** Of matrices only (decoupled: AdamW); vectors are not decayed. */
  weightDecay: number;
  beta1: number;
  beta2: number;
  /** Steps between checkpoints; undefined: one about every minute. */
  checkpointSteps: number | undefined;
  /** Measurements over the run (held-out perplexity, sign flips, a sample), besides the last. */
  measurements: number;
  /** Whether a run that memory cannot hold is refused (default true). */
  memoryCheck?: boolean;
}

export interface TrainingTask<Target = undefined> {
  /** All tensors of the model; the trainable ones are trained. */
  parameters: Parameters;
  /** What the loss compares with, such as the teacher's outputs; nothing in it is differentiated. */
  target(batch: Batch): Target;
  /** Builds the loss; called inside tf.variableGrads. */
  loss(batch: Batch, target: Target): BatchLoss;
  /** Perplexity on held-out data; undefined when there is none. */
  perplexity: ((signal?: AbortSignal) => Promise<number>) | undefined;
  /** A completion by the model as it is now; the run's first also tells the prompt and the teacher's. */
  sample?: (isFirst: boolean) => Promise<Sample>;
}

const secondsBetweenCheckpoints = 60;

/**
 * Trains until the schedule ends: Adam with clipping and accumulation, one line of metrics a step,
 * checkpoints, and resuming from the run folder's last one. With a schedule in steps, a resumed run
 * has the same curve to the bit as an uninterrupted one on the same number of threads.
 * On abort it saves a checkpoint and throws cancelled. On a loss or gradient that is not finite, or a loss
 * that rises and stays up (DivergenceWatch), it throws diverged and leaves the last good checkpoint as it is.
 * Throws busy if another process works on the run, and no-space before the first step if the disk cannot
 * hold the checkpoints.
 */
export async function runTraining<Target>(
  task: TrainingTask<Target>,
  windows: WindowSource,
  run: RunFolder,
  options: TrainerOptions,
  context: { signal?: AbortSignal; onProgress?: OnProgress },
): Promise<{ state: RunState; metrics: Metric[] }> {
  const { schedule } = options;
  const trained = new Map([...task.parameters].filter(([, variable]) => variable.trainable));
  const moments = new Map([...trained].map(([name, variable]) => [name, zeroMoments(variable)]));
  await run.claim();
  try {
    let state: RunState = { step: 0, seconds: 0, tokens: 0, windows: windows.state() };
    const flips = await SignFlips.begin(task.parameters);
    state =
      (await run.load((saved) => restoreRun(saved, task.parameters, moments, flips, context.signal))) ??
      state;
    windows.restore(state.windows);
    const history = flips === undefined ? undefined : new SignHistory(run.path);
    await history?.keepUpTo(state.step);
    if (flips !== undefined && state.step === 0) await history?.add(0, flips.snapshot());
    const metrics = await run.metricsUpTo(state.step);
    const divergence = new DivergenceWatch();
    for (const { loss } of metrics) divergence.add(loss);
    let savedStep = state.step;
    let savedAt = performance.now();
    await run.checkSpace(captureRun(task.parameters, moments, flips, state));
    // The clock runs through measurements and checkpoints too: a run of N minutes takes N minutes.
    const clockStart = performance.now() - state.seconds * 1000;
    const clock = (): number => (performance.now() - clockStart) / 1000;
    const save = async (): Promise<void> => {
      if (savedStep === state.step) return;
      await run.save(captureRun(task.parameters, moments, flips, state));
      savedStep = state.step;
      savedAt = performance.now();
    };

    if (state.step === 0 && task.perplexity !== undefined) {
      const start = await task.perplexity(context.signal);
      context.onProgress?.(progressOf(options, state, { perplexity: start }));
    }
    while (shareDone(schedule, state.step, state.seconds) < 1) {
      // Signals and messages arrive between steps only.
      await new Promise((resolve) => setImmediate(resolve));
      if (context.signal?.aborted) {
        await save();
        throw new OneBitError('cancelled', `Stopped after step ${state.step}; run it again to continue.`);
      }
      const started = performance.now();
      const rate = learningRate(schedule, state.step, state.seconds);
      const shareBefore = shareDone(schedule, state.step, state.seconds);
      const figures = await trainStep(task, trained, moments, windows, options, rate, state.step + 1).catch(
        (error: unknown) => {
          const known = asOneBitError(error);
          if (known.code !== 'diverged') throw known;
          throw diverged(known.message, run, savedStep, options);
        },
      );
      const stepSeconds = (performance.now() - started) / 1000;
      const tokens = options.batch * options.window;
      state = {
        step: state.step + 1,
        seconds: clock(),
        tokens: state.tokens + tokens,
        windows: windows.state(),
      };
      const share = shareDone(schedule, state.step, state.seconds);
      const metric: Metric = {
        step: state.step,
        seconds: state.seconds,
        ...figures,
        learningRate: rate,
        tokensPerSecond: tokens / stepSeconds,
        tokens: state.tokens,
      };
      const due =
        share >= 1 ||
        Math.floor(share * options.measurements) > Math.floor(shareBefore * options.measurements);
      if (due) {
        if (task.perplexity !== undefined) metric.perplexity = await task.perplexity();
        if (flips !== undefined) {
          metric.signFlips = await flips.measure();
          await history?.add(state.step, flips.snapshot());
        }
        const isFirst = !metrics.some(({ sample }) => sample !== undefined);
        if (task.sample !== undefined) metric.sample = await task.sample(isFirst);
        releaseIdleMemory();
      }
      await run.addMetric(metric);
      metrics.push(metric);
      divergence.add(metric.loss);
      if (divergence.hasDiverged) {
        const [mean, lowest] = [divergence.mean, divergence.lowest].map((loss) => loss.toPrecision(4));
        const what = `Training diverged: at step ${state.step} the loss is ${mean}, after ${lowest} at its best.`;
        throw diverged(what, run, savedStep, options);
      }
      context.onProgress?.({ ...progressOf(options, state, metric), metric });
      state.seconds = clock();
      const checkpointDue =
        options.checkpointSteps === undefined
          ? performance.now() - savedAt > secondsBetweenCheckpoints * 1000
          : state.step % options.checkpointSteps === 0;
      if (checkpointDue && !divergence.isSuspect) await save();
    }
    await save();
    return { state, metrics };
  } finally {
    await run.release();
    for (const { first, second } of moments.values()) {
      first.dispose();
      second.dispose();
    }
  }
}

function zeroMoments({ size, shape }: tf.Variable): AdamMoments {
  return {
    first: variableOf(new Float32Array(size), shape, false),
    second: variableOf(new Float32Array(size), shape, false),
  };
}

/** One optimizer step; returns its figures. */
async function trainStep<Target>(
  task: TrainingTask<Target>,
  trained: Parameters,
  moments: Map<string, AdamMoments>,
  windows: WindowSource,
  options: TrainerOptions,
  rate: number,
  step: number,
): Promise<Pick<Metric, 'loss' | 'kl' | 'hidden' | 'nll' | 'gradientNorm'>> {
  const sums: Record<string, number> = {};
  let gradients: Map<string, tf.Tensor> | undefined;
  try {
    for (let done = 0; done < options.batch; done += options.microBatch) {
      const count = Math.min(options.microBatch, options.batch - done);
      const batch = nextBatch(windows, count, options.window);
      const share = count / options.batch;
      try {
        const { figures, gradients: added } = await lossAndGradients(task, trained, batch);
        for (const [name, value] of Object.entries(figures)) sums[name] = (sums[name] ?? 0) + value * share;
        gradients = accumulate(gradients, added, share);
      } finally {
        batch.inputs.dispose();
        batch.labels.dispose();
      }
    }
    if (gradients === undefined) throw new Error('A batch has at least one window.');
    const normTensor = gradientNorm([...gradients.values()]);
    const norm = (await normTensor.data())[0] ?? NaN;
    normTensor.dispose();
    const loss = sums.loss ?? NaN;
    if (!Number.isFinite(loss) || !Number.isFinite(norm)) {
      throw new OneBitError(
        'diverged',
        `Training diverged: at step ${step} the loss is ${loss} and the gradient's norm ${norm}.`,
      );
    }
    for (const [name, variable] of trained) {
      const gradient = gradients.get(name);
      const own = moments.get(name);
      if (gradient === undefined || own === undefined) continue;
      adamStep(variable, gradient, own, {
        learningRate: rate,
        beta1: options.beta1,
        beta2: options.beta2,
        step,
        gradientScale: clipScale(norm, options.clip),
        weightDecay: variable.shape.length > 1 ? options.weightDecay : 0,
        decoupled: true,
      });
    }
    return { loss, ...sums, gradientNorm: norm };
  } finally {
    if (gradients !== undefined) tf.dispose([...gradients.values()]);
  }
}

function nextBatch(windows: WindowSource, count: number, window: number): Batch {
  const inputs = new Int32Array(count * window);
  const labels = new Int32Array(count * window);
  for (let i = 0; i < count; i++) {
    const ids = windows.next();
    inputs.set(ids.subarray(0, window), i * window);
    labels.set(ids.subarray(1), i * window);
  }
  return { inputs: tf.tensor1d(inputs, 'int32'), labels: tf.tensor1d(labels, 'int32'), count, window };
}

async function lossAndGradients<Target>(
  task: TrainingTask<Target>,
  trained: Parameters,
  batch: Batch,
): Promise<{ figures: Record<string, number>; gradients: Map<string, tf.Tensor> }> {
  const kept: Record<string, tf.Scalar> = {};
  // Outside of the tape, so that none of its intermediate results are kept.
  const target = tf.tidy(() => task.target(batch) as tf.TensorContainer) as Target;
  const { value, grads } = tf.variableGrads(() => {
    const { loss, figures } = task.loss(batch, target);
    for (const [name, figure] of Object.entries(figures)) kept[name] = tf.keep(tf.clone(figure));
    return loss;
  }, [...trained.values()]);
  const figures: Record<string, number> = { loss: (await value.data())[0] ?? NaN };
  for (const [name, figure] of Object.entries(kept)) figures[name] = (await figure.data())[0] ?? NaN;
  tf.dispose([value, ...Object.values(kept)]);
  tf.dispose(target as tf.TensorContainer);
  const gradients = new Map<string, tf.Tensor>();
  for (const [name, variable] of trained) {
    const gradient = grads[variable.name];
    if (gradient !== undefined) gradients.set(name, gradient);
  }
  return { figures, gradients };
}

function accumulate(
  sum: Map<string, tf.Tensor> | undefined,
  added: Map<string, tf.Tensor>,
  share: number,
): Map<string, tf.Tensor> {
  if (sum === undefined && share === 1) return added;
  const next = new Map<string, tf.Tensor>();
  for (const [name, gradient] of added) {
    const before = sum?.get(name);
    next.set(
      name,
      tf.tidy(() => {
        const weighted = tf.mul(gradient, share);
        return before === undefined ? weighted : tf.add(before, weighted);
      }),
    );
    gradient.dispose();
    before?.dispose();
  }
  return next;
}

function diverged(what: string, run: RunFolder, savedStep: number, options: TrainerOptions): OneBitError {
  const { peak } = options.schedule;
  const kept =
    savedStep > 0
      ? `The last good checkpoint is ${run.checkpointPath(savedStep)}.`
      : 'There was no checkpoint yet.';
  return new OneBitError(
    'diverged',
    `${what} Use a lower learning rate (--learning-rate ${Number((peak / 4).toPrecision(2))} instead of ${peak}), ` +
      `a longer --warmup or a smaller --clip, with --restart or in another folder. ${kept}`,
  );
}

/** Figures of a metric that progress tells in fields of its own. */
const clockFigures = new Set(['step', 'seconds', 'tokens']);

function progressOf(options: TrainerOptions, state: RunState, metrics: Partial<Metric>): Progress {
  const share = shareDone(options.schedule, state.step, state.seconds);
  const total =
    options.schedule.steps ?? (share > 0 ? Math.max(state.step, Math.round(state.step / share)) : 0);
  const shown: Record<string, number> = {};
  for (const [name, value] of Object.entries(metrics)) {
    if (typeof value === 'number' && !clockFigures.has(name)) shown[name] = value;
  }
  const turned = metrics.signFlips?.sinceLast ?? [];
  if (turned.length > 0) shown.signFlips = turned.reduce((sum, share) => sum + share, 0) / turned.length;
  return {
    phase: options.phase,
    done: state.step,
    total,
    unit: 'steps',
    ...(share > 0 ? { remainingSeconds: (state.seconds / share) * (1 - share) } : {}),
    metrics: shown,
  };
}
