import type { FusedOp } from '../../ops/fused.ts';
import { tf } from '../tfjs.ts';
import rowReduce from './shaders/row-reduce.wgsl';
import type { Dispatch, TrainingWebgpuBackend } from './webgpu-backend.ts';

export type Inputs = Record<string, tf.TensorInfo>;
type Kernel<A> = (inputs: Inputs, attributes: A, backend: TrainingWebgpuBackend) => tf.TensorInfo[];

/** Connects a fused op (server/distill/ops) with shaders. */
export function register<A = object>(name: FusedOp | `${FusedOp}Gradient`, kernel: Kernel<A>): void {
  tf.registerKernel({
    kernelName: name,
    backendName: 'webgpu',
    kernelFunc: ({ inputs, attrs, backend }) =>
      kernel(inputs as Inputs, attrs as unknown as A, backend as TrainingWebgpuBackend),
  });
}

/** The input of that name; ops always pass the ones that are not optional. */
export function need(inputs: Inputs, name: string): tf.TensorInfo {
  const tensor = inputs[name];
  if (tensor === undefined) throw new Error(`The kernel's input ${name} is missing.`);
  return tensor;
}

/** Rows and width of a matrix. */
export function sizeOf(tensor: tf.TensorInfo): [number, number] {
  const [rows = 0, width = 0] = tensor.shape;
  return [rows, width];
}

/** Numbers in a tensor. */
export const countOf = (tensor: tf.TensorInfo): number => tf.util.sizeFromShape(tensor.shape);

type Run = Pick<Dispatch, 'tensors' | 'integers' | 'floats'>;

/**
 * A shader with a workgroup for each row, and the functions of row-reduce.wgsl. Short rows take few lanes: more
 * would only wait for each other, which costs most where the GPU is software.
 */
export function byRow(key: string, source: string) {
  const code = rowReduce + source;
  return (backend: TrainingWebgpuBackend, rows: number, width: number, run: Run): void => {
    const lanes = width <= 512 ? 32 : width <= 2048 ? 64 : 256;
    backend.run({ key: `${key} ${lanes}`, source: code, constants: { lanes }, ...run, groups: rows });
  };
}

/** A shader with a lane for each number. */
export function byNumber(key: string, source: string) {
  return (backend: TrainingWebgpuBackend, numbers: number, run: Run): void =>
    backend.run({ key, source, ...run, groups: Math.ceil(numbers / 256) });
}

/** A shader with a workgroup for each 16 columns. */
export function byColumns(key: string, source: string) {
  return (backend: TrainingWebgpuBackend, columns: number, run: Run): void =>
    backend.run({ key, source, ...run, groups: [Math.ceil(columns / 16), 1] });
}

/** tfjs's own matrix product: a [batch, m, k] · b [batch, k, n], each transposed if so. */
export function matMul(
  backend: TrainingWebgpuBackend,
  a: tf.TensorInfo,
  b: tf.TensorInfo,
  transposeA = false,
  transposeB = false,
): tf.TensorInfo {
  return runCore(backend, 'BatchMatMul', { a, b }, { transposeA, transposeB });
}

/** A new tensor of one number. */
export function filled(backend: TrainingWebgpuBackend, shape: number[], value: number): tf.TensorInfo {
  return runCore(backend, 'Fill', {}, { shape, value, dtype: 'float32' });
}

function runCore(
  backend: TrainingWebgpuBackend,
  name: string,
  inputs: Inputs,
  attrs: Record<string, unknown>,
): tf.TensorInfo {
  const kernel = tf.getKernel(name, 'webgpu');
  if (kernel === undefined) throw new Error(`tfjs has no kernel ${name} for webgpu.`);
  return kernel.kernelFunc({ inputs, backend, attrs: attrs as tf.NamedAttrMap }) as tf.TensorInfo;
}
