import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { projections, projectionShape } from '../checkpoint/model-config.ts';
import { unpackSigns } from '../checkpoint/sign-packing.ts';
import { OneBitError, throwIfCancelled } from '../protocol/error.ts';
import type { OnProgress } from '../protocol/progress.ts';
import type { StudentRecipe } from '../protocol/recipe.ts';
import { svid } from '../svid/svid.ts';
import { variableOf, type Parameters } from './parameters.ts';
import { Random } from './random.ts';
import { isTrained, type TrainedParts } from './trained-parts.ts';

/**
 * How latent weights start, at a mean magnitude of `latentScale`:
 * - `signs`: all at the same magnitude, as in the authors' code;
 * - `weights`: in proportion to the teacher's |W|, so that signs of weights near zero turn first.
 */
type LatentStart = Pick<StudentRecipe, 'latentStart' | 'latentScale'>;

/**
 * The student's linears from the teacher, one matrix at a time: signs and value vectors by SVID, or the
 * starts that SVID is compared with (signs of the weights or random ones, with g = h = 1; the LayerNorm
 * after the product makes up for the scale). Returns trainable variables `.weight` (latent),
 * `.weight_scale` (h) and `.input_factor` (g); the caller disposes them. `seed` draws the random start.
 */
export async function studentFromTeacher(
  teacher: Checkpoint,
  { start, ...latent }: Pick<StudentRecipe, 'start'> & LatentStart,
  seed: number,
  context: { signal?: AbortSignal; onProgress?: OnProgress },
): Promise<Parameters> {
  const parameters: Parameters = new Map();
  const { config } = teacher;
  const random = new Random(seed, 'student');
  const total = config.layers * projections.length;
  let done = 0;
  for (let layer = 0; layer < config.layers; layer++) {
    for (const projection of projections) {
      const name = `model.layers.${layer}.${projection}`;
      const [out, inner] = projectionShape(config, projection);
      const weight = await teacher.readFloats(`${name}.weight`, context.signal);
      if (start === 'svid') {
        const { g, h } = await svid(weight, out, inner, { name: `${name}.weight`, signal: context.signal });
        setLinear(parameters, name, [out, inner], latentOf(weight, latent), g, h);
      } else {
        throwIfCancelled(context.signal);
        const values = start === 'ones' ? weight : weight.map(() => random.normal());
        const ones = (length: number) => new Float32Array(length).fill(1);
        setLinear(parameters, name, [out, inner], latentOf(values, latent), ones(inner), ones(out));
      }
      const phase = start === 'svid' ? 'SVID' : 'start';
      context.onProgress?.({ phase, done: ++done, total, unit: 'tensors', message: name });
    }
  }
  return parameters;
}

/**
 * A student from a OneBit checkpoint of either kind: its linears, trainable, and everything else it
 * holds, trained or frozen as `parts` says. Packed signs get the magnitudes that `start` says; a training
 * checkpoint keeps its own latent weights. The caller disposes the variables.
 */
export async function studentFromCheckpoint(
  student: Checkpoint,
  teacher: Checkpoint,
  start: LatentStart,
  parts: TrainedParts,
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
        const magnitudes = latentOf(await teacher.readFloats(`${name}.weight`, signal), start);
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
    parameters.set(name, variableOf(await student.readFloats(name, signal), shape, isTrained(name, parts)));
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

function latentOf(weight: Float32Array, { latentStart, latentScale }: LatentStart): Float32Array {
  if (latentStart === 'signs') return weight.map((value) => (value < 0 ? -latentScale : latentScale));
  let sum = 0;
  for (const value of weight) sum += Math.abs(value);
  const scale = sum > 0 ? (latentScale * weight.length) / sum : 0;
  return weight.map((value) => value * scale);
}
