import type { NativeBackend } from './native-backend.ts';
import { tf } from './tfjs.ts';

// In the order of the enums in server/native/training/kernels.h.
const BINARY = { Add: 0, Sub: 1, Multiply: 2, RealDiv: 3 } as const;
const UNARY = { Exp: 0, Sqrt: 1, Rsqrt: 2, Square: 3, Neg: 4, Sigmoid: 5 } as const;

type Inputs = Record<string, tf.TensorInfo>;
type Attributes = Record<string, unknown>;

/**
 * Puts a kernel before the `cpu` one of the same name, which serves whatever the new one leaves (undefined):
 * other types, unusual broadcasts.
 */
function override(
  name: string,
  kernel: (inputs: Inputs, attributes: Attributes, backend: NativeBackend) => tf.TensorInfo | undefined,
): void {
  const plain = tf.getKernel(name, 'native');
  if (plain === undefined || plain === null) throw new Error(`tfjs has no kernel ${name} to fall back on.`);
  tf.unregisterKernel(name, 'native');
  tf.registerKernel({
    ...plain,
    kernelFunc: (call) => {
      const inputs = call.inputs as Inputs;
      const floats = Object.values(inputs).every((tensor) => tensor.dtype === 'float32');
      const result = floats
        ? kernel(inputs, (call.attrs ?? {}) as Attributes, call.backend as NativeBackend)
        : undefined;
      return result ?? plain.kernelFunc(call);
    },
  });
}

const sizeOf = (tensor: tf.TensorInfo) => tf.util.sizeFromShape(tensor.shape);

/** The plain tensor kernels that training still meets around the fused ops. */
export function registerTensorKernels(): void {
  override('BatchMatMul', ({ a, b }, { transposeA, transposeB }, backend) => {
    if (a === undefined || b === undefined) return undefined;
    const batchA = tf.util.sizeFromShape(a.shape.slice(0, -2));
    const batchB = tf.util.sizeFromShape(b.shape.slice(0, -2));
    if (batchA !== batchB && batchA !== 1 && batchB !== 1) return undefined;
    const [rowsA = 0, colsA = 0] = a.shape.slice(-2);
    const [rowsB = 0, colsB = 0] = b.shape.slice(-2);
    const [m, k] = transposeA ? [colsA, rowsA] : [rowsA, colsA];
    const n = transposeB ? rowsB : colsB;
    const leading = (batchA >= batchB ? a : b).shape.slice(0, -2);
    const c = backend.allocate([...leading, m, n]);
    backend.kernels.gemm(
      backend.floats(a),
      backend.floats(b),
      backend.floats(c),
      Math.max(batchA, batchB),
      m,
      n,
      k,
      Boolean(transposeA),
      Boolean(transposeB),
      batchA === 1 ? 0 : m * k,
      batchB === 1 ? 0 : k * n,
    );
    return c;
  });

  for (const [name, op] of Object.entries(BINARY)) {
    override(name, ({ a, b }, _, backend) => {
      if (a === undefined || b === undefined) return undefined;
      return binary(op, a, b, backend);
    });
  }
  for (const [name, op] of Object.entries(UNARY)) {
    override(name, ({ x }, _, backend) => {
      if (x === undefined) return undefined;
      const y = backend.allocate(x.shape);
      backend.kernels.unary(op, backend.floats(x), 0, backend.floats(y), sizeOf(x));
      return y;
    });
  }
  for (const name of ['Sum', 'Mean']) {
    override(name, ({ x }, { axis, keepDims }, backend) => {
      if (x === undefined) return undefined;
      const axes = tf.util.parseAxisParam(axis as number | number[], x.shape).sort((p, q) => p - q);
      const [first = 0] = axes;
      if (axes.length === 0 || axes.some((value, i) => value !== first + i)) return undefined;
      const outer = tf.util.sizeFromShape(x.shape.slice(0, first));
      const middle = tf.util.sizeFromShape(x.shape.slice(first, first + axes.length));
      const inner = tf.util.sizeFromShape(x.shape.slice(first + axes.length));
      const shape = keepDims
        ? x.shape.map((size, i) => (axes.includes(i) ? 1 : size))
        : x.shape.filter((_, i) => !axes.includes(i));
      const y = backend.allocate(shape);
      const scale = name === 'Mean' ? 1 / middle : 1;
      backend.kernels.sumMiddle(backend.floats(x), backend.floats(y), outer, middle, inner, scale);
      return y;
    });
  }
  override('Transpose', ({ x }, { perm }, backend) => {
    if (x === undefined || x.shape.length > 4) return undefined;
    const axes = perm as number[];
    const strides = [...tf.util.computeStrides(x.shape), 1];
    const shape = axes.map((axis) => x.shape[axis] ?? 0);
    const padding = 4 - shape.length;
    const [d0 = 1, d1 = 1, d2 = 1, d3 = 1] = [...Array<number>(padding).fill(1), ...shape];
    const order = axes.map((axis) => strides[axis] ?? 0);
    const [s0 = 0, s1 = 0, s2 = 0, s3 = 0] = [...Array<number>(padding).fill(0), ...order];
    const y = backend.allocate(shape);
    backend.kernels.permute(backend.floats(x), backend.floats(y), d0, d1, d2, d3, s0, s1, s2, s3);
    return y;
  });
}

function binary(
  op: number,
  a: tf.TensorInfo,
  b: tf.TensorInfo,
  backend: NativeBackend,
): tf.TensorInfo | undefined {
  const shape = tf.backend_util.assertAndGetBroadcastShape(a.shape, b.shape);
  const size = tf.util.sizeFromShape(shape);
  const swapped = sizeOf(a) !== size;
  const [large, small] = swapped ? [b, a] : [a, b];
  if (sizeOf(large) !== size) return undefined;
  const { kernels } = backend;
  const x = backend.floats(large);
  const other = backend.floats(small);
  if (other.length === 1) {
    const y = backend.allocate(shape);
    kernels.binaryNumber(op, x, other[0] ?? NaN, swapped, backend.floats(y), size);
    return y;
  }
  if (other.length === size) {
    const y = backend.allocate(shape);
    kernels.binary(op, x, other, backend.floats(y), 1, size, 0, swapped);
    return y;
  }
  // The small one is a row that repeats (sizes of 1 first), or one number for each row (sizes of 1 last).
  const padded = [...Array<number>(shape.length - small.shape.length).fill(1), ...small.shape];
  const lead = padded.findIndex((dim) => dim !== 1);
  const tail = padded.findLastIndex((dim) => dim !== 1) + 1;
  const matches = (from: number, to: number) =>
    padded.slice(from, to).every((dim, i) => dim === shape[from + i]);
  const y = () => backend.allocate(shape);
  if (matches(lead, shape.length)) {
    const out = y();
    const width = tf.util.sizeFromShape(shape.slice(lead));
    kernels.binary(op, x, other, backend.floats(out), size / width, width, 1, swapped);
    return out;
  }
  if (matches(0, tail)) {
    const out = y();
    const width = tf.util.sizeFromShape(shape.slice(tail));
    kernels.binary(op, x, other, backend.floats(out), size / width, width, 2, swapped);
    return out;
  }
  return undefined;
}
