import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { projections, projectionShape } from '../checkpoint/model-config.ts';
import { unpackSigns } from '../checkpoint/sign-packing.ts';
import { OneBitError } from '../protocol/error.ts';
import type { OnProgress } from '../protocol/progress.ts';
import { svid } from '../svid/svid.ts';
import { variableOf, type Parameters } from './parameters.ts';

/** Magnitude of the latent weights at the start, in the authors' code: `Sign(W) · 0.01`. */
export const authorsLatentScale = 0.01;

/**
 * How latent weights start:
 * - `signs`: all at the same magnitude, as in the authors' code;
 * - `weights`: in proportion to the teacher's |W| with the same mean, so that signs of weights near
 *   zero turn first.
 */
export type LatentStart = 'signs' | 'weights';

/**
 * The student's linears from the teacher: signs and value vectors by SVID, one matrix at a time.
 * Returns trainable variables `.weight` (latent), `.weight_scale` (h) and `.input_factor` (g); the
 * caller disposes them.
 */
export async function studentFromTeacher(
  teacher: Checkpoint,
  latentStart: LatentStart,
  context: { signal?: AbortSignal; onProgress?: OnProgress },
): Promise<Parameters> {
  const parameters: Parameters = new Map();
  const { config } = teacher;
  const total = config.layers * projections.length;
  let done = 0;
  for (let layer = 0; layer < config.layers; layer++) {
    for (const projection of projections) {
      const name = `model.layers.${layer}.${projection}`;
      const [out, inner] = projectionShape(config, projection);
      const weight = await teacher.readFloats(`${name}.weight`, context.signal);
      const factors = await svid(weight, out, inner, { name: `${name}.weight`, signal: context.signal });
      setLinear(parameters, name, [out, inner], latentOf(weight, latentStart), factors.g, factors.h);
      context.onProgress?.({ phase: 'SVID', done: ++done, total, unit: 'tensors', message: name });
    }
  }
  return parameters;
}

/**
 * A student from a OneBit checkpoint of either kind: its linears, trainable, and everything else it
 * holds, frozen unless `trainAll`. Packed signs get the magnitudes of `latentStart`; a training
 * checkpoint keeps its own latent weights. The caller disposes the variables.
 */
export async function studentFromCheckpoint(
  student: Checkpoint,
  teacher: Checkpoint,
  latentStart: LatentStart,
  trainAll: boolean,
  signal?: AbortSignal,
): Promise<Parameters> {
  if (student.kind === 'full') {
    throw new OneBitError(
      'bad-request',
      `${student.path} is a full-precision model: give a 1-bit one as the student, or none.`,
    );
  }
  const parameters: Parameters = new Map();
  const { config } = student;
  for (let layer = 0; layer < config.layers; layer++) {
    for (const projection of projections) {
      const name = `model.layers.${layer}.${projection}`;
      let latent: Float32Array;
      if (student.kind === 'onebit') {
        const magnitudes = latentOf(await teacher.readFloats(`${name}.weight`, signal), latentStart);
        const signs = unpackSigns(await student.readBytes(`${name}.weight`, signal));
        // A magnitude of zero would lose the sign.
        latent = signs.map((sign, i) => sign * Math.max(Math.abs(magnitudes[i] ?? 0), 1e-8));
      } else {
        latent = await student.readFloats(`${name}.weight`, signal);
      }
      const g = await student.readFloats(`${name}.input_factor`, signal);
      const h = await student.readFloats(`${name}.weight_scale`, signal);
      setLinear(parameters, name, projectionShape(config, projection), latent, g, h);
    }
  }
  for (const [name, { shape }] of student.tensors) {
    if (parameters.has(name)) continue;
    const trainable = trainAll && !name.endsWith('.bias');
    parameters.set(name, variableOf(await student.readFloats(name, signal), shape, trainable));
  }
  return parameters;
}

function setLinear(
  parameters: Parameters,
  name: string,
  shape: [number, number],
  latent: Float32Array,
  g: Float32Array,
  h: Float32Array,
): void {
  parameters.set(`${name}.weight`, variableOf(latent, shape, true));
  parameters.set(`${name}.weight_scale`, variableOf(h, [h.length], true));
  parameters.set(`${name}.input_factor`, variableOf(g, [g.length], true));
}

function latentOf(weight: Float32Array, start: LatentStart): Float32Array {
  if (start === 'signs') return weight.map((value) => (value < 0 ? -authorsLatentScale : authorsLatentScale));
  let sum = 0;
  for (const value of weight) sum += Math.abs(value);
  const scale = sum > 0 ? (authorsLatentScale * weight.length) / sum : 0;
  return weight.map((value) => value * scale);
}
