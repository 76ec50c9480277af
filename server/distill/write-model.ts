import type { Checkpoint, TensorSource } from '../checkpoint/checkpoint.ts';
import { floatsToHalfBytes } from '../checkpoint/float-conversion.ts';
import { hfConfigJson } from '../checkpoint/hf-config-json.ts';
import { projections, type ModelConfig } from '../checkpoint/model-config.ts';
import { packSigns } from '../checkpoint/sign-packing.ts';
import { writeCheckpoint } from '../checkpoint/write-checkpoint.ts';
import type { tf } from './backend/tfjs.ts';
import type { Parameters } from './parameters.ts';

/** Writes a full-precision model in fp16. `tokenizerFrom`: see writeCheckpoint. */
export async function writeFullModel(
  folder: string,
  config: ModelConfig,
  parameters: Parameters,
  tokenizerFrom: string,
  signal?: AbortSignal,
): Promise<void> {
  await writeCheckpoint(folder, {
    config: hfConfigJson(config, 'full'),
    tensors: [...parameters].map(([name, variable]) => half(name, variable)),
    tokenizerFrom,
    replace: true,
    signal,
  });
}

/**
 * Writes a student as a packed OneBit checkpoint (DESIGN.md, Formats): signs of the latent weights,
 * everything else in fp16. `record` becomes onebit.json.
 */
export async function writeStudent(
  folder: string,
  teacher: Checkpoint,
  parameters: Parameters,
  record: Record<string, unknown>,
  signal?: AbortSignal,
): Promise<void> {
  await writeCheckpoint(folder, {
    config: hfConfigJson(teacher.config, 'onebit'),
    tensors: [...parameters].map(([name, variable]) =>
      isProjectionWeight(name) ? signs(name, variable) : half(name, variable),
    ),
    tokenizerFrom: teacher.path,
    onebit: record,
    replace: true,
    signal,
  });
}

const projectionWeight = new RegExp(
  `^model\\.layers\\.\\d+\\.(${projections.map((name) => name.replace('.', '\\.')).join('|')})\\.weight$`,
);
const isProjectionWeight = (name: string): boolean => projectionWeight.test(name);

function half(name: string, variable: tf.Variable): TensorSource {
  return {
    name,
    dtype: 'F16',
    shape: variable.shape,
    bytes: async () => floatsToHalfBytes((await variable.data()) as Float32Array, name),
  };
}

function signs(name: string, variable: tf.Variable): TensorSource {
  const [out = 0, inner = 0] = variable.shape;
  return {
    name,
    dtype: 'U8',
    shape: [out, inner / 8],
    bytes: async () => packSigns((await variable.data()) as Float32Array, out, inner, name),
  };
}
