import type { TensorSource } from '../checkpoint/checkpoint.ts';
import { floatsToBytes } from '../checkpoint/float-conversion.ts';
import { OneBitError } from '../protocol/error.ts';
import { tf } from './backend/tfjs.ts';
import type { SignFlips } from './measure/sign-flips.ts';
import type { AdamMoments } from './ops/index.ts';
import type { Parameters } from './parameters.ts';
import type { RunCheckpoint, RunState, SavedCheckpoint } from './run-checkpoint.ts';

/** The run as it is now; its tensors are copied one by one when they are written. */
export function captureRun(
  parameters: Parameters,
  moments: ReadonlyMap<string, AdamMoments>,
  flips: SignFlips | undefined,
  state: RunState,
): RunCheckpoint {
  return {
    state,
    tensors: {
      model: [...parameters].map(([name, variable]) => sourceOf(name, variable)),
      optimizer: [...moments].flatMap(([name, { first, second }]) => [
        sourceOf(`first.${name}`, first),
        sourceOf(`second.${name}`, second),
      ]),
      measured: flips?.sources() ?? [],
    },
  };
}

function sourceOf(name: string, variable: tf.Variable): TensorSource {
  const bytes = async () => floatsToBytes((await variable.data()) as Float32Array);
  return { name, dtype: 'F32', shape: variable.shape, bytes };
}

/** Puts a checkpoint's tensors in place, and returns where it stands. @throws bad-file */
export async function restoreRun(
  saved: SavedCheckpoint,
  parameters: Parameters,
  moments: ReadonlyMap<string, AdamMoments>,
  flips: SignFlips | undefined,
  signal: AbortSignal | undefined,
): Promise<RunState> {
  const assign = async (part: 'model' | 'optimizer', variables: Map<string, tf.Variable>) => {
    const missing = new Set(variables.keys());
    const take = (name: string, bytes: Uint8Array<ArrayBuffer>): void => {
      const variable = variables.get(name);
      if (variable === undefined || bytes.byteLength !== 4 * variable.size) return;
      const tensor = tf.tensor(new Float32Array(bytes.buffer), variable.shape);
      variable.assign(tensor);
      tensor.dispose();
      missing.delete(name);
    };
    await saved.read(part, take, signal);
    const [lacking] = missing;
    if (lacking === undefined) return;
    throw new OneBitError(
      'bad-file',
      `The checkpoint ${saved.path} lacks ${lacking} or has it in another shape: it is damaged. ` +
        'Use --restart to begin anew.',
    );
  };
  await assign('model', parameters);
  const both = [...moments].flatMap(([name, { first, second }]): [string, tf.Variable][] => [
    [`first.${name}`, first],
    [`second.${name}`, second],
  ]);
  await assign('optimizer', new Map(both));
  if (flips !== undefined && (await saved.has('measured'))) {
    await saved.read('measured', (name, signs) => flips.restore(name, signs), signal);
  }
  return saved.state;
}
