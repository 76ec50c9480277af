import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { DataFile } from '../checkpoint/data-file.ts';
import { projections, projectionShape } from '../checkpoint/model-config.ts';
import { readSafetensorsHeader } from '../checkpoint/safetensors-header.ts';
import { OneBitError, asOneBitError } from '../protocol/error.ts';
import { disposeParameters, variableOf, type Parameters } from './parameters.ts';
import { newestFirst } from './run-checkpoint.ts';
import { isTrained, type TrainedParts } from './trained-parts.ts';

/**
 * A student as a training run left it, in the newest of the run's checkpoints: unlike the packed model it has the
 * latent weights, so that another round of training goes on from there. Optimizer and schedule begin anew. The
 * caller disposes the variables.
 * @throws bad-request (no checkpoint, or a run of another teacher), bad-file (damaged)
 */
export async function studentFromRun(
  run: string,
  teacher: Checkpoint,
  parts: TrainedParts,
  signal?: AbortSignal,
): Promise<Parameters> {
  const { config } = teacher;
  const shapes = new Map<string, readonly number[]>();
  for (const [name, { shape }] of teacher.tensors) shapes.set(name, shape);
  const blocks = new Set<string>();
  for (let layer = 0; layer < config.layers; layer++) {
    for (const projection of projections) {
      const name = `model.layers.${layer}.${projection}`;
      const [out, inner] = projectionShape(config, projection);
      shapes
        .set(`${name}.weight`, [out, inner])
        .set(`${name}.weight_scale`, [out])
        .set(`${name}.input_factor`, [inner]);
      for (const part of ['weight', 'weight_scale', 'input_factor']) blocks.add(`${name}.${part}`);
    }
  }
  const path = await newestCheckpoint(run);
  const file = await DataFile.open(join(path, 'model.safetensors'));
  const parameters: Parameters = new Map();
  try {
    for (const { name, dtype, shape, offset, byteLength } of await readSafetensorsHeader(file, signal)) {
      if (dtype !== 'F32' || shapes.get(name)?.join() !== shape.join()) {
        throw new OneBitError(
          'bad-request',
          `${path} has ${name} as ${dtype} [${shape.join(', ')}], which no student of ${teacher.path} has: give the run ` +
            'of a student of this teacher.',
        );
      }
      const bytes = new Uint8Array(byteLength);
      await file.read(bytes, offset, signal);
      const trainable = blocks.has(name) || isTrained(name, parts);
      parameters.set(name, variableOf(new Float32Array(bytes.buffer), [...shape], trainable));
    }
    const lacking = [...blocks].find((name) => !parameters.has(name));
    if (lacking === undefined) return parameters;
    throw new OneBitError(
      'bad-request',
      `${path} lacks ${lacking}: it is not the run of a 1-bit student. Give the folder that \`onebit distill\` keeps ` +
        'beside its output.',
    );
  } catch (error) {
    disposeParameters(parameters);
    throw error;
  } finally {
    await file.close();
  }
}

async function newestCheckpoint(run: string): Promise<string> {
  const checkpoints = join(run, 'checkpoints');
  const [newest] = newestFirst(
    await readdir(checkpoints).catch((error: unknown) => {
      throw asOneBitError(error, checkpoints);
    }),
  );
  if (newest !== undefined) return join(checkpoints, `step-${newest}`);
  throw new OneBitError(
    'bad-request',
    `${run} is a run without a checkpoint: give a student that was trained.`,
  );
}
