import { join } from 'node:path';
import type { ModelConfig } from '../checkpoint/model-config.ts';
import type { OnProgress } from '../protocol/progress.ts';
import type { StudentRecipe } from '../protocol/recipe.ts';
import { tf } from './backend/tfjs.ts';
import type { WindowSource } from './data/windows.ts';
import { blockPrefix, decoderBlock, type Weights } from './llama-graph.ts';
import { embed } from './ops/index.ts';
import type { Parameters } from './parameters.ts';
import { blocksFolder, RunFolder } from './run-state.ts';
import { runTraining, type Batch, type TrainerOptions } from './trainer.ts';

export interface BlockStartOptions {
  recipe: Pick<StudentRecipe, 'blockSteps' | 'blockInputs' | 'straightThrough'>;
  trainer: Omit<TrainerOptions, 'phase'>;
  /** The folder of the whole run; each block has a run of its own in it. */
  run: string;
  /** What the whole run's curve depends on. */
  definition: Record<string, unknown>;
}

/** `[batch · window, hidden]` each. */
interface BlockTarget {
  /** What enters the student's block. */
  x: tf.Tensor2D;
  /** What the teacher's block makes of the teacher's input. */
  wanted: tf.Tensor2D;
}

/**
 * Block-wise start, before the end-to-end stage: each decoder block of the student in turn, from the first
 * to the last, is trained for `blockSteps` steps until what leaves it is what leaves the teacher's block. No gradient
 * passes through another block. With `blockInputs` `student` a block gets what the student's blocks
 * before it make, which are finished by then: it learns from the inputs that it will have, and corrects
 * their error. Every block is a training run in itself, so that it resumes and stops as any run does.
 * Every block and the stage after it see the same windows from the first on.
 *
 * @param student the whole student, of which the blocks' trainable variables are changed in place
 */
export async function startBlocks(
  config: ModelConfig,
  teacher: Weights,
  student: Parameters,
  windows: WindowSource,
  { recipe, trainer, run, definition }: BlockStartOptions,
  context: { signal?: AbortSignal; onProgress?: OnProgress },
): Promise<void> {
  const first = windows.state();
  for (let layer = 0; layer < config.layers; layer++) {
    windows.restore(first);
    const parameters: Parameters = new Map(
      [...student].filter(([name, variable]) => name.startsWith(blockPrefix(layer)) && variable.trainable),
    );
    const block = (weights: Weights, layer: number, x: tf.Tensor2D, { count, window }: Batch): tf.Tensor2D =>
      decoderBlock(config, weights, layer, x, count, window, recipe.straightThrough);
    const enters = (weights: Weights, batch: Batch): tf.Tensor2D => {
      let x = embed(weights.get('model.embed_tokens.weight') as tf.Tensor2D, batch.inputs);
      for (let before = 0; before < layer; before++) x = block(weights, before, x, batch);
      return x;
    };
    await runTraining(
      {
        parameters,
        target: (batch: Batch): BlockTarget => {
          const ofTeacher = enters(teacher, batch);
          const x = recipe.blockInputs === 'teacher' ? ofTeacher : enters(student, batch);
          return { x, wanted: block(teacher, layer, ofTeacher, batch) };
        },
        loss: (batch: Batch, { x, wanted }: BlockTarget) => ({
          loss: blockError(wanted, block(student, layer, x, batch)),
          figures: {},
        }),
        perplexity: undefined,
      },
      windows,
      await RunFolder.open(join(run, blocksFolder, String(layer)), { ...definition, block: layer }),
      {
        ...trainer,
        schedule: { ...trainer.schedule, steps: recipe.blockSteps, seconds: undefined },
        measurements: 0,
        phase: 'block start',
      },
      {
        signal: context.signal,
        // One count over all blocks; the curve that is drawn is the end-to-end stage's.
        onProgress: ({ done, remainingSeconds: _, metric: __, ...report }) =>
          context.onProgress?.({
            ...report,
            done: layer * recipe.blockSteps + done,
            total: config.layers * recipe.blockSteps,
            message: `block ${layer + 1} of ${config.layers}`,
          }),
      },
    );
  }
  windows.restore(first);
}

/**
 * Mean over rows of ‖own − wanted‖² / ‖wanted‖². Relative to each row: the few tokens that LLaMA gives
 * huge activations would else be all that counts. Unlike the distance of directions it holds the length
 * too, which the residual stream hands on to the blocks after. Differentiable in `own`.
 *
 * @param wanted [n, hidden] f32
 * @param own [n, hidden] f32
 * @returns scalar
 */
export function blockError(wanted: tf.Tensor2D, own: tf.Tensor2D): tf.Scalar {
  const size = tf.add(tf.sum(tf.square(wanted), -1, true), 1e-12);
  return tf.mean(tf.div(tf.sum(tf.square(tf.sub(own, wanted)), -1, true), size));
}
