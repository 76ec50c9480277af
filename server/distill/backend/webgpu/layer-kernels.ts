import type { StudentRecipe } from '../../../protocol/recipe.ts';
import type { tf } from '../tfjs.ts';
import { byColumns, byNumber, byRow, countOf, filled, matMul, need, register, sizeOf } from './shader.ts';
import embedSource from './shaders/embed.wgsl';
import embedGradientSource from './shaders/embed-gradient.wgsl';
import layerNormSource from './shaders/layer-norm.wgsl';
import layerNormGradientSource from './shaders/layer-norm-gradient.wgsl';
import rmsNormSource from './shaders/rms-norm.wgsl';
import rmsNormGainGradientSource from './shaders/rms-norm-gain-gradient.wgsl';
import rmsNormGradientSource from './shaders/rms-norm-gradient.wgsl';
import signColumnGradientSource from './shaders/sign-column-gradient.wgsl';
import signGradientSource from './shaders/sign-gradient.wgsl';
import signProductSource from './shaders/sign-product.wgsl';
import swigluSource from './shaders/swiglu.wgsl';
import swigluGradientSource from './shaders/swiglu-gradient.wgsl';
import type { TrainingWebgpuBackend } from './webgpu-backend.ts';

const layerNorm = byRow('layer-norm', layerNormSource);
const layerNormGradient = byRow('layer-norm-gradient', layerNormGradientSource);
const signGradient = byRow('sign-gradient', signGradientSource);
const signColumnGradient = byColumns('sign-column-gradient', signColumnGradientSource);
const rmsNorm = byRow('rms-norm', rmsNormSource);
const rmsNormGradient = byRow('rms-norm-gradient', rmsNormGradientSource);
const rmsNormGainGradient = byColumns('rms-norm-gain-gradient', rmsNormGainGradientSource);
const swiglu = byNumber('swiglu', swigluSource);
const swigluGradient = byNumber('swiglu-gradient', swigluGradientSource);
const embed = byNumber('embed', embedSource);
const embedGradient = byRow('embed-gradient', embedGradientSource);

/** In the order that sign-gradient.wgsl counts them. */
const straightThroughs: StudentRecipe['straightThrough'][] = ['plain', 'tanh', 'clipped'];

/**
 * [(a ⊙ before) Sᵀ] ⊙ after with the signs of `latent` [out, in]; with `byRows` [(a ⊙ before) S] ⊙ after.
 * @returns [rows, out], or [rows, in]
 */
function signProduct(
  backend: TrainingWebgpuBackend,
  a: tf.TensorInfo,
  before: tf.TensorInfo,
  latent: tf.TensorInfo,
  after: tf.TensorInfo,
  byRows: boolean,
): tf.TensorInfo {
  const [rows, inner] = sizeOf(a);
  const columns = countOf(after);
  const product = backend.allocate([rows, columns]);
  backend.run({
    key: byRows ? 'sign-product-by-rows' : 'sign-product',
    source: signProductSource,
    constants: { by_rows: Number(byRows) },
    tensors: [product, a, before, latent, after],
    integers: [rows, columns, inner],
    groups: [Math.ceil(columns / 64), Math.ceil(rows / 64)],
  });
  return product;
}

/** The kernels of what a decoder block is made of, but for attention. */
export function registerLayerKernels(): void {
  register<{ eps: number }>('OneBitSignLinear', (inputs, { eps }, backend) => {
    const [x, latent, g, h] = ['x', 'latent', 'g', 'h'].map((name) => need(inputs, name)) as Four;
    const z = signProduct(backend, x, g, latent, h, false);
    const [rows, width] = sizeOf(z);
    const [y, inverse] = [backend.allocate([rows, width]), backend.allocate([rows])];
    layerNorm(backend, rows, width, { tensors: [y, inverse, z], integers: [rows, width], floats: [eps] });
    backend.free(z);
    return [y, inverse];
  });
  register<{ straightThrough: StudentRecipe['straightThrough'] }>(
    'OneBitSignLinearGradient',
    (inputs, { straightThrough }, backend) => {
      const [x, latent, g, h] = ['x', 'latent', 'g', 'h'].map((name) => need(inputs, name)) as Four;
      const [dy, y, inverse] = [need(inputs, 'dy'), need(inputs, 'y'), need(inputs, 'inverse')];
      const [rows, outputs] = sizeOf(dy);
      const width = countOf(g);
      const dz = backend.allocate([rows, outputs]);
      layerNormGradient(backend, rows, outputs, { tensors: [dz, dy, y, inverse], integers: [rows, outputs] });
      const dx = signProduct(backend, dz, h, latent, g, true);
      // dzᵀ x holds all the rest: its rows and columns, weighted with the signs, are dh and dg.
      const m = matMul(backend, dz, x, true, false);
      const dlatent = backend.allocate([outputs, width]);
      const [dg, dh] = [backend.allocate([width]), backend.allocate([outputs])];
      signGradient(backend, outputs, width, {
        tensors: [dlatent, dh, m, latent, g, h],
        integers: [outputs, width, straightThroughs.indexOf(straightThrough)],
      });
      signColumnGradient(backend, width, { tensors: [dg, m, latent, h], integers: [outputs, width] });
      backend.free(dz, m);
      return [dx, dlatent, dg, dh];
    },
  );
  register<{ eps: number }>('OneBitRmsNorm', (inputs, { eps }, backend) => {
    const x = need(inputs, 'x');
    const [rows, width] = sizeOf(x);
    const [y, inverse] = [backend.allocate([rows, width]), backend.allocate([rows])];
    rmsNorm(backend, rows, width, {
      tensors: [y, inverse, x, need(inputs, 'gain')],
      integers: [rows, width],
      floats: [eps],
    });
    return [y, inverse];
  });
  register<{ gainGradient: boolean }>('OneBitRmsNormGradient', (inputs, { gainGradient }, backend) => {
    const [dy, x, gain, inverse] = ['dy', 'x', 'gain', 'inverse'].map((name) => need(inputs, name)) as Four;
    const [rows, width] = sizeOf(x);
    const dx = backend.allocate([rows, width]);
    rmsNormGradient(backend, rows, width, { tensors: [dx, dy, x, gain, inverse], integers: [rows, width] });
    if (!gainGradient) return [dx];
    const dgain = backend.allocate([width]);
    rmsNormGainGradient(backend, width, { tensors: [dgain, dy, x, inverse], integers: [rows, width] });
    return [dx, dgain];
  });
  register('OneBitSwiglu', (inputs, _, backend) => {
    const gate = need(inputs, 'gate');
    const y = backend.allocate(gate.shape);
    const size = countOf(gate);
    swiglu(backend, size, { tensors: [y, gate, need(inputs, 'up')], integers: [size] });
    return [y];
  });
  register('OneBitSwigluGradient', (inputs, _, backend) => {
    const gate = need(inputs, 'gate');
    const [dgate, dup] = [backend.allocate(gate.shape), backend.allocate(gate.shape)];
    const size = countOf(gate);
    const tensors = [dgate, dup, need(inputs, 'dy'), gate, need(inputs, 'up')];
    swigluGradient(backend, size, { tensors, integers: [size] });
    return [dgate, dup];
  });
  register('OneBitEmbed', (inputs, _, backend) => {
    const [table, ids] = [need(inputs, 'table'), need(inputs, 'ids')];
    const [vocab, width] = sizeOf(table);
    const y = backend.allocate([countOf(ids), width]);
    embed(backend, countOf(y), { tensors: [y, table, ids], integers: [countOf(y), width, vocab] });
    return [y];
  });
  register<{ vocab: number }>('OneBitEmbedGradient', (inputs, { vocab }, backend) => {
    const dy = need(inputs, 'dy');
    const [rows, width] = sizeOf(dy);
    const dtable = filled(backend, [vocab, width], 0);
    const tensors = [dtable, dy, need(inputs, 'ids')];
    embedGradient(backend, rows, width, { tensors, integers: [rows, width, vocab] });
    return [dtable];
  });
}

type Four = [tf.TensorInfo, tf.TensorInfo, tf.TensorInfo, tf.TensorInfo];
