import { projections, projectionShape, type ModelConfig } from '../../checkpoint/model-config.ts';
import { OneBitError } from '../../protocol/error.ts';
import type { OptimizerRecipe } from '../../protocol/recipe.ts';
import type { OnProgress } from '../../protocol/progress.ts';
import { hasKernel } from '../ops/fused.ts';
import type { TrainedParts } from '../trained-parts.ts';
import { trainingMemory } from '../backend/backend-memory.ts';
import { tf } from '../backend/tfjs.ts';

export interface TrainingSize {
  config: ModelConfig;
  /** A 1-bit student beside its teacher, or one full-precision model. */
  kind: 'distill' | 'train';
  /** What is trained outside of the blocks' matrices. */
  parts: TrainedParts;
  recompute: OptimizerRecipe['recompute'];
  /** Windows of a step, and windows that go through the graph at once. */
  batch: number;
  microBatch: number;
  window: number;
  /** The backend has kernels for the fused operations (`native`, `webgpu`). */
  fused: boolean;
  /** Attention's scores [micro-batch · heads, window, window] are whole matrices while it runs (`webgpu`). */
  wholeScores?: boolean;
}

/** A model from scratch: everything is trained. */
export const allTrained: TrainedParts = { embeddings: 'trained', norms: 'trained', head: 'trained' };

/** What takes memory in training. */
export type MemoryPartName =
  'weights' | 'gradients' | 'moments' | 'activations' | 'logits' | 'measurements' | 'scratch';

/** Longest sequence of a completion sample (CompletionSample). */
const sampleTokens = 64;
/** JavaScript objects of the graph and garbage that waits to be collected. */
const graphBytes = 48e6;
/** The measured growth over the sum of the buffers that hold a row: what the allocator holds back. */
const overhead = 1.15;

/**
 * Bytes of each part at the peak of a training step, in f32. The tape keeps every result of the forward pass,
 * and the gradient of each, until the step's end; what teacher and student have in the same shape is one
 * buffer used twice. d, f, q, kv are the widths of the residual stream, the MLP, queries, and keys; n the
 * rows of a micro-batch.
 */
export function estimateTrainingMemory(size: TrainingSize): Record<MemoryPartName, number> {
  const { config, kind, batch, microBatch, window, fused } = size;
  const { layers, hiddenSize: d, intermediateSize: f, vocabSize, heads } = config;
  const q = heads * config.headDim;
  const kv = config.kvHeads * config.headDim;
  const shapes = projections.map((projection) => projectionShape(config, projection));
  const matrices = layers * sum(shapes.map(([out, inner]) => out * inner));
  const values = layers * sum(shapes.map(([out, inner]) => out + inner));
  const table = vocabSize * d;
  const head = config.tieEmbeddings ? 0 : table;
  const norms = (2 * layers + 1) * d;
  const others = table + head + norms;
  const largest = Math.max(table, ...shapes.map(([out, inner]) => out * inner));

  const distill = kind === 'distill';
  const trained =
    matrices +
    (distill ? values : 0) +
    (size.parts.embeddings === 'trained' ? table : 0) +
    (size.parts.head === 'trained' ? head : 0) +
    (size.parts.norms === 'trained' ? norms : 0);
  // Signs at the start and at the last measurement take two bits a weight.
  const weights = distill ? matrices + others + trained + matrices / 16 : trained;

  const rows = microBatch * window;
  // Norms, q, k, v and their rotation, attention, the two residual sums, gate, up and their product.
  const forward = 6 * d + 3 * q + 3 * kv + 3 * f + heads + 9;
  // A sum of gradients keeps its terms: three for the input of q, k, v, two for that of gate, up, and the stream's.
  const backward = 10 * d + 2 * q + 2 * kv + 3 * f;
  const hiddenLoss = distill ? 3 * d : 0;
  // Without fused kernels every step of an operation is a result of its own, attention weights among them.
  const plain = fused ? 1 : 3;
  const attention = fused ? 0 : 8 * heads * window;
  const forwardLayer = plain * forward + attention;
  const backwardLayer = plain * backward + hiddenLoss;
  // Recomputing, each block keeps its input and that one's gradient, and one block at a time has all the rest;
  // a teacher's pass takes its own results all the same.
  const layersRow =
    size.recompute === 'none'
      ? layers * (forwardLayer + backwardLayer)
      : layers * (2 * d + hiddenLoss) + (distill ? layers : 1) * forwardLayer + backwardLayer;
  const forwardRow = layers * forwardLayer + vocabSize;
  // Teacher's and student's logits with one gradient, and the softmaxes where they are not fused.
  const logitsRow = (distill ? 3 : 2) * vocabSize * (fused ? 1 : 3);

  const measuredRows = (microBatch > 1 ? window : 0) + Math.min(sampleTokens, window);
  const floats: Record<MemoryPartName, number> = {
    weights,
    gradients: trained * (microBatch < batch ? 2 : 1) + (fused ? 0 : 3 * matrices),
    moments: 2 * trained,
    activations: overhead * rows * layersRow,
    logits: overhead * rows * logitsRow,
    measurements: measuredRows * forwardRow,
    // The scores of a block's attention and their gradients live for that block only.
    scratch:
      3 * largest +
      rows * Math.max(d, f, q) +
      (size.wholeScores === true ? 2 * rows * heads * window : 0) +
      graphBytes / 4,
  };
  return Object.fromEntries(
    Object.entries(floats).map(([part, count]) => [part, Math.ceil(4 * count)]),
  ) as Record<MemoryPartName, number>;
}

/**
 * Fails before anything is allocated where a training run cannot fit into the memory that is available, and
 * reports the estimate otherwise.
 * @param size the run; which kernels there are is found out here
 * @throws out-of-memory, with what is needed, what there is, and what to change
 */
export async function checkTrainingMemory(
  size: Omit<TrainingSize, 'fused' | 'wholeScores'>,
  options: { refuse: boolean; onProgress?: OnProgress },
  available?: number,
): Promise<void> {
  const parts = estimateTrainingMemory({
    ...size,
    fused: hasKernel('OneBitSignLinear'),
    wholeScores: tf.getBackend() === 'webgpu',
  });
  const free = available ?? (await trainingMemory()) ?? Infinity;
  const needed = sum(Object.values(parts));
  const megabytes = (bytes: number) => `${Math.ceil(bytes / 1e6)} MB`;
  const listed = Object.entries(parts)
    .map(([part, bytes]) => `${part} ${megabytes(bytes)}`)
    .join(', ');
  if (options.refuse && needed > free) {
    throw new OneBitError(
      'out-of-memory',
      `This run needs about ${megabytes(needed)} of memory (${listed}) and ${megabytes(free)} are available. ` +
        (parts.activations + parts.logits > needed / 2 && size.microBatch * size.window > 8
          ? `Use a smaller --micro-batch (now ${size.microBatch}) or --window (now ${size.window}).`
          : 'Use a smaller model, or a machine with more memory.') +
        ' --no-memory-check tries anyway.',
    );
  }
  const { rss } = process.memoryUsage();
  options.onProgress?.({
    phase: 'memory',
    done: rss + needed,
    // A GPU may not say how much memory it has: then no total is known.
    total: Number.isFinite(free) ? rss + free : 0,
    unit: 'bytes',
    message: `about ${megabytes(rss + needed)} at the peak: ${listed}`,
  });
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
