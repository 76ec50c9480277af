import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { openCheckpoint } from '../checkpoint/open-checkpoint.ts';
import { availableMemory } from '../available-memory.ts';
import { PortableEngine } from '../engine/cpu/portable-engine.ts';
import { OneBitError } from '../protocol/error.ts';
import type { InspectActivationsResult } from '../protocol/inspect.ts';
import type { OnProgress } from '../protocol/progress.ts';
import { loadTokenizer } from '../tokenizer/load-tokenizer.ts';
import { matrixNames } from './sign-rows.ts';

const maxTokens = 512;

export interface InspectActivationsOptions {
  /** The full-precision model, on the same tokens. */
  teacher?: string;
  signal?: AbortSignal;
  onProgress?: OnProgress;
}

/** What went through one matrix: sums over all tokens. */
interface Flow {
  inputSquares: number;
  inputs: number;
  /** `[tokens, out]`, block after block. */
  outputs: Float32Array[];
}

/**
 * A text through every matrix of a model, and through its teacher's: sizes of what goes in and comes out, and how far
 * the outputs are from the teacher's. The portable engine runs one model after the other in f32.
 * @throws bad-request (another vocabulary, or no tokens), no-tokenizer, out-of-memory (the weights do not fit), what
 *   opening a checkpoint throws
 */
export async function inspectActivations(
  modelPath: string,
  text: string,
  { teacher: teacherPath, signal, onProgress }: InspectActivationsOptions = {},
): Promise<InspectActivationsResult> {
  const tokenizer = await loadTokenizer(modelPath);
  const all = tokenizer.encode(text, { bos: true });
  const opened: Checkpoint[] = [];
  try {
    const open = async (path: string): Promise<Checkpoint> => {
      const checkpoint = await openCheckpoint(path, signal);
      opened.push(checkpoint);
      return checkpoint;
    };
    const model = await open(modelPath);
    const teacher = teacherPath === undefined ? undefined : await open(teacherPath);
    const names = matrixNames(model).map(({ name }) => name);
    if (teacher !== undefined) checkTeacher(model, teacher);
    const tokens = all.slice(0, Math.min(maxTokens, model.config.maxPositions));
    if (tokens.length === 0) throw new OneBitError('bad-request', 'The text has no tokens.');
    const models = teacher === undefined ? [model] : [model, teacher];
    let done = 0;
    const flows = [];
    for (const one of models) {
      const onMatrix = (name: string) =>
        onProgress?.({
          phase: 'activations',
          done: ++done,
          total: names.length * models.length,
          unit: 'tensors',
          message: name,
        });
      flows.push(await flowsThrough(one, tokens, names.length, { signal, onMatrix }));
    }
    const [own, others] = flows as [Map<string, Flow>, Map<string, Flow>?];
    return {
      tokens: tokens.length,
      matrices: names.map((name) => {
        const flow = own.get(name) as Flow;
        const other = others?.get(name);
        return {
          name,
          inputRms: Math.sqrt(flow.inputSquares / flow.inputs),
          outputRms: rootMeanSquare(flow.outputs),
          ...(other === undefined
            ? {}
            : {
                teacherError: relativeDistance(flow.outputs, other.outputs),
                teacherInputRms: Math.sqrt(other.inputSquares / other.inputs),
                teacherOutputRms: rootMeanSquare(other.outputs),
              }),
        };
      }),
    };
  } finally {
    await Promise.all(opened.map((checkpoint) => checkpoint.close()));
  }
}

function checkTeacher(model: Checkpoint, teacher: Checkpoint): void {
  const sizes = ({ config }: Checkpoint) =>
    [config.layers, config.hiddenSize, config.intermediateSize, config.vocabSize].join(', ');
  if (sizes(model) === sizes(teacher)) return;
  throw new OneBitError(
    'bad-request',
    `${teacher.path} is not the teacher of ${model.path}: layers, hidden, intermediate and vocabulary sizes are ` +
      `${sizes(teacher)} and not ${sizes(model)}.`,
  );
}

/** Runs the tokens through a model; its weights are in memory only meanwhile. */
async function flowsThrough(
  checkpoint: Checkpoint,
  tokens: number[],
  matrices: number,
  { signal, onMatrix }: { signal?: AbortSignal; onMatrix: (name: string) => void },
): Promise<Map<string, Flow>> {
  const { config } = checkpoint;
  await checkMemory(checkpoint, tokens.length);
  const flows = new Map<string, Flow>();
  let seen = 0;
  const onLinear = (name: string, x: Float32Array, y: Float32Array): void => {
    const flow = flows.get(name) ?? { inputSquares: 0, inputs: 0, outputs: [] };
    for (const value of x) flow.inputSquares += value * value;
    flow.inputs += x.length;
    flow.outputs.push(y.slice());
    flows.set(name, flow);
    // Rows come in blocks; the last block goes through every matrix once more.
    if (++seen > matrices * (Math.ceil(tokens.length / 256) - 1)) onMatrix(name);
  };
  const contextLength = Math.min(config.maxPositions, tokens.length);
  const engine = await PortableEngine.load(checkpoint, { contextLength, sequences: 1, onLinear }, signal);
  try {
    const sequence = engine.open();
    await engine.forward([{ sequence, tokens, logits: 'none' }], signal);
  } finally {
    await engine.dispose();
  }
  return flows;
}

/** @throws out-of-memory */
async function checkMemory({ path, config, tensors, kind }: Checkpoint, tokens: number): Promise<void> {
  let needed = 0;
  for (const { name, dtype, shape, byteLength } of tensors.values()) {
    const elements = shape.reduce((product, size) => product * size, 1);
    const packed = dtype === 'U8' || dtype === 'I8' || (kind !== 'full' && name.includes('_proj.weight'));
    needed += packed ? byteLength : 4 * elements;
  }
  const { heads, kvHeads, headDim, hiddenSize, intermediateSize, layers } = config;
  const outputs = (heads + 2 * kvHeads) * headDim + 2 * hiddenSize + 2 * intermediateSize;
  needed += 4 * tokens * outputs * layers;
  const available = await availableMemory();
  if (needed <= available) return;
  const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
  throw new OneBitError(
    'out-of-memory',
    `Activations of ${path} need ${gigabytes(needed)} of memory and ${gigabytes(available)} are free: ` +
      'give a shorter text, or a smaller model.',
  );
}

function rootMeanSquare(blocks: Float32Array[]): number {
  let [squares, count] = [0, 0];
  for (const block of blocks) {
    for (const value of block) squares += value * value;
    count += block.length;
  }
  return Math.sqrt(squares / count);
}

/** ‖a − b‖ / ‖b‖ */
function relativeDistance(a: Float32Array[], b: Float32Array[]): number {
  let [difference, total] = [0, 0];
  b.forEach((block, i) => {
    const other = a[i] as Float32Array;
    for (let j = 0; j < block.length; j++) {
      const value = block[j] as number;
      difference += ((other[j] as number) - value) ** 2;
      total += value * value;
    }
  });
  return total > 0 ? Math.sqrt(difference / total) : 0;
}
