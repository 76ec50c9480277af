import type { NativeAddon } from '../../native/addon.ts';

type F32 = Float32Array;
type OptionalF32 = Float32Array | null;

/** What `attention*` needs besides its arrays, in this order. */
export type AttentionSizes = [
  frequencies: F32,
  batch: number,
  window: number,
  heads: number,
  kvHeads: number,
  headDim: number,
];

/**
 * The training functions of the addon (server/native/training). Arrays are row-major; outputs come after
 * inputs and are overwritten; too short an array or an id out of range throws a RangeError.
 */
export interface TrainingFunctions {
  /** An array with undefined contents, at vector boundaries and in large pages where the runtime allows. */
  floats(n: number): F32;
  gemm(
    a: F32,
    b: F32,
    c: F32,
    batch: number,
    m: number,
    n: number,
    k: number,
    transposeA: boolean,
    transposeB: boolean,
    strideA: number,
    strideB: number,
  ): void;
  /**
   * Multiplies and adds in registers, `n` times on the calling thread; returns how many floating point
   * operations that were. Timed, it gives the machine's peak, which matrix products are measured against.
   */
  fmaChain(n: number): number;
  /** mode: b is 0 the same shape, 1 one row for all rows, 2 one number for each row. */
  binary(
    op: number,
    a: F32,
    b: F32,
    y: F32,
    rows: number,
    width: number,
    mode: 0 | 1 | 2,
    swapped: boolean,
  ): void;
  binaryNumber(op: number, a: F32, value: number, valueFirst: boolean, y: F32, n: number): void;
  unary(op: number, x: F32, value: number, y: F32, n: number): void;
  /** y[outer, inner] = scale · the sum of x[outer, middle, inner] over the middle. */
  sumMiddle(x: F32, y: F32, outer: number, middle: number, inner: number, scale: number): void;
  /** y of shape [d0, d1, d2, d3] from x with strides s0..s3. */
  permute(
    x: F32,
    y: F32,
    d0: number,
    d1: number,
    d2: number,
    d3: number,
    s0: number,
    s1: number,
    s2: number,
    s3: number,
  ): void;

  signLinear(
    x: F32,
    latent: F32,
    g: F32,
    h: F32,
    eps: number,
    y: F32,
    inverse: F32,
    rows: number,
    inputs: number,
    outputs: number,
  ): void;
  signLinearGradient(
    dy: F32,
    y: F32,
    inverse: F32,
    x: F32,
    latent: F32,
    g: F32,
    h: F32,
    tanh: boolean,
    dx: F32,
    dlatent: F32,
    dg: F32,
    dh: F32,
    rows: number,
    inputs: number,
    outputs: number,
    clipped: boolean,
  ): void;
  linear(x: F32, weight: F32, bias: OptionalF32, y: F32, rows: number, inputs: number, outputs: number): void;
  linearGradient(
    dy: F32,
    x: F32,
    weight: F32,
    dx: F32,
    dweight: OptionalF32,
    dbias: OptionalF32,
    rows: number,
    inputs: number,
    outputs: number,
  ): void;
  rmsNorm(x: F32, gain: F32, eps: number, y: F32, inverse: F32, rows: number, width: number): void;
  rmsNormGradient(
    dy: F32,
    x: F32,
    gain: F32,
    inverse: F32,
    dx: F32,
    dgain: OptionalF32,
    rows: number,
    width: number,
  ): void;
  rope(
    x: F32,
    frequencies: F32,
    inverse: boolean,
    y: F32,
    rows: number,
    width: number,
    window: number,
    headDim: number,
  ): void;
  causalAttention(
    q: F32,
    k: F32,
    v: F32,
    y: F32,
    logSumExp: F32,
    turnedQ: F32,
    turnedK: F32,
    ...sizes: AttentionSizes
  ): void;
  causalAttentionGradient(
    dy: F32,
    y: F32,
    logSumExp: F32,
    turnedQ: F32,
    turnedK: F32,
    v: F32,
    dq: F32,
    dk: F32,
    dv: F32,
    ...sizes: AttentionSizes
  ): void;
  swiglu(gate: F32, up: F32, y: F32, n: number): void;
  swigluGradient(dy: F32, gate: F32, up: F32, dgate: F32, dup: F32, n: number): void;
  embed(table: F32, ids: Int32Array, y: F32, rows: number, width: number, vocab: number): void;
  embedGradient(dy: F32, ids: Int32Array, dtable: F32, rows: number, width: number, vocab: number): void;
  crossEntropy(
    logits: F32,
    labels: Int32Array,
    mask: OptionalF32,
    logSumExp: F32,
    rows: number,
    width: number,
  ): number;
  crossEntropyGradient(
    dy: number,
    logits: F32,
    labels: Int32Array,
    mask: OptionalF32,
    logSumExp: F32,
    dlogits: F32,
    rows: number,
    width: number,
  ): void;
  softmaxKl(
    teacher: F32,
    student: F32,
    teacherLog: F32,
    studentLog: F32,
    rows: number,
    width: number,
  ): number;
  softmaxKlGradient(
    dy: number,
    teacher: F32,
    student: F32,
    teacherLog: F32,
    studentLog: F32,
    dstudent: F32,
    rows: number,
    width: number,
  ): void;
  unitDistance(a: F32, b: F32, rows: number, width: number): number;
  unitDistanceGradient(dy: number, a: F32, b: F32, da: F32, db: F32, rows: number, width: number): void;
  adam(
    parameter: F32,
    gradient: F32,
    first: F32,
    second: F32,
    n: number,
    learningRate: number,
    beta1: number,
    beta2: number,
    epsilon: number,
    weightDecay: number,
    decoupled: boolean,
    correction1: number,
    correction2: number,
    gradientScale: number,
  ): void;
  squaredNorm(x: F32, n: number): number;
}

export interface TrainingAddon extends NativeAddon {
  readonly training: TrainingFunctions;
}
