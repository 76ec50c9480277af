import type { ModelConfig } from '../checkpoint/model-config.ts';
import type { Metric } from '../protocol/job.ts';
import type { OptimizerRecipe } from '../protocol/recipe.ts';
import type { OnProgress } from '../protocol/progress.ts';
import { loadTokenizer } from '../tokenizer/load-tokenizer.ts';
import { heldOutPerplexity } from './held-out.ts';
import { llamaForward } from './llama-graph.ts';
import { crossEntropy } from './ops/index.ts';
import { allTrained, checkTrainingMemory } from './memory/memory-estimate.ts';
import { CompletionSample } from './measure/completion-sample.ts';
import { disposeParameters, initialParameters } from './parameters.ts';
import { RunFolder, type RunBackend } from './run-state.ts';
import { openTrainingData, type DataOptions, type TrainingData } from './data/training-data.ts';
import { runTraining, type Batch, type TrainerOptions } from './trainer.ts';
import { writeFullModel } from './write-model.ts';

export interface TrainModelOptions {
  /** Shape of the model; vocabulary and end tokens come from the tokenizer. */
  shape: Pick<ModelConfig, 'hiddenSize' | 'intermediateSize' | 'layers' | 'heads' | 'kvHeads' | 'headDim'> &
    Pick<ModelConfig, 'maxPositions' | 'tieEmbeddings' | 'ropeTheta'>;
  /** Folder or file of the tokenizer; it is copied to the output. */
  tokenizer: string;
  data: DataOptions;
  trainer: Omit<TrainerOptions, 'phase'>;
  recompute: OptimizerRecipe['recompute'];
  output: string;
  run: string;
  /** What it trains on, for run.json. */
  backend?: RunBackend;
}

export interface TrainModelResult {
  output: string;
  steps: number;
  tokens: number;
  seconds: number;
  parameters: number;
  perplexity: number;
}

/**
 * Trains a LLaMA from scratch with the language-model loss and writes it as a Hugging Face folder in
 * fp16. Continues the run in `options.run` if there is one of the same definition.
 */
export async function trainModel(
  options: TrainModelOptions,
  context: { signal?: AbortSignal; onProgress?: OnProgress },
): Promise<TrainModelResult> {
  const tokenizer = await loadTokenizer(options.tokenizer);
  const config: ModelConfig = {
    architecture: 'llama',
    ...options.shape,
    vocabSize: tokenizer.vocabSize,
    rmsNormEps: 1e-5,
    attentionBias: false,
    mlpBias: false,
    layerNormEps: 1e-5,
    bosTokenId: tokenizer.bosId,
    eosTokenIds: [...tokenizer.eosIds],
  };
  const data = await openTrainingData(options.data, tokenizer, context);
  const { batch, microBatch, window, memoryCheck: refuse = true } = options.trainer;
  await checkTrainingMemory(
    { config, kind: 'train', parts: allTrained, recompute: options.recompute, batch, microBatch, window },
    { refuse, onProgress: context.onProgress },
  );
  const definition = {
    kind: 'train',
    ...curveOf(options.data, options.trainer, data),
    recompute: options.recompute,
    config,
  };
  const run = await RunFolder.open(options.run, definition, options.backend);
  const parameters = initialParameters(config, options.data.seed);
  try {
    const count = [...parameters.values()].reduce((sum, variable) => sum + variable.size, 0);
    const perplexity = (signal?: AbortSignal) => heldOutPerplexity(config, parameters, data.heldOut, signal);
    const { state, metrics } = await runTraining(
      {
        parameters,
        target: () => undefined,
        loss: ({ inputs, labels, count: batch, window }: Batch) => {
          const { logits } = llamaForward(config, parameters, inputs, batch, window, options);
          const loss = crossEntropy(logits, labels);
          return { loss, figures: { nll: loss } };
        },
        perplexity,
        sample: new CompletionSample(config, tokenizer, data.heldOut).sampler(parameters),
      },
      data.windows,
      run,
      { ...options.trainer, phase: 'train' },
      context,
    );
    await writeFullModel(options.output, config, parameters, options.tokenizer, context.signal);
    return {
      output: options.output,
      steps: state.step,
      tokens: state.tokens,
      seconds: state.seconds,
      parameters: count,
      perplexity: lastPerplexity(metrics) ?? (await perplexity(context.signal)),
    };
  } finally {
    disposeParameters(parameters);
  }
}

/** The last held-out perplexity that was measured. */
export function lastPerplexity(metrics: readonly Metric[]): number | undefined {
  return metrics.findLast((metric) => metric.perplexity !== undefined)?.perplexity;
}

/** What a run's curve depends on in its data and optimizer; how it is measured and saved is left out. */
export function curveOf(
  { data: paths, textColumn, heldOutShare, heldOut, window, seed, infillSplit }: DataOptions,
  { schedule, batch, microBatch, clip, weightDecay, beta1, beta2 }: Omit<TrainerOptions, 'phase'>,
  { infillRate, fingerprint }: TrainingData,
): Record<string, unknown> {
  const data = {
    paths,
    textColumn,
    heldOutShare,
    heldOut,
    window,
    seed,
    infillRate,
    infillSplit,
    fingerprint,
  };
  return { ...data, schedule, batch, microBatch, clip, weightDecay, beta1, beta2 };
}
