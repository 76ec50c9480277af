import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import { projectionShape, type ModelConfig, type Projection } from '../../checkpoint/model-config.ts';
import { OneBitError } from '../../protocol/error.ts';

/** A linear layer of the portable engine: y `[rows, out]` = layer(x `[rows, in]`). */
export interface PortableLinear {
  readonly out: number;
  apply(x: Float32Array, rows: number, y: Float32Array): void;
  readonly bytes: { weights: number; signs: number; values: number; norms: number };
}

/** y = x Wᵀ (+ bias), W `[out, in]`. */
export class FloatLinear implements PortableLinear {
  constructor(
    readonly weight: Float32Array,
    readonly out: number,
    readonly inSize: number,
    readonly bias?: Float32Array,
  ) {}

  get bytes(): PortableLinear['bytes'] {
    return { weights: this.weight.byteLength, signs: 0, values: 0, norms: this.bias?.byteLength ?? 0 };
  }

  apply(x: Float32Array, rows: number, y: Float32Array): void {
    const { weight, inSize, out, bias } = this;
    for (let o = 0; o < out; o++) {
      const w = o * inSize;
      const offset = bias === undefined ? 0 : (bias[o] as number);
      for (let r = 0; r < rows; r++) {
        const xr = r * inSize;
        let sum = 0;
        for (let i = 0; i < inSize; i++) sum += (weight[w + i] as number) * (x[xr + i] as number);
        y[r * out + o] = sum + offset;
      }
    }
  }
}

/**
 * The 1-bit layer: y = LayerNorm(((x ⊙ g) Sᵀ) ⊙ h) (+ bias), METHOD: paper, equation of the layer;
 * the LayerNorm runs over `out`, without gain or bias.
 * For each 8 columns a table holds the signed sums of all 256 sign bytes, so that a row of S costs
 * one look-up a byte.
 */
export class SignLinear implements PortableLinear {
  private readonly table: Float32Array;

  constructor(
    /** `[out, in/8]`, least significant bit first, bit 1 = −1. */
    readonly signs: Uint8Array,
    readonly g: Float32Array,
    readonly h: Float32Array,
    readonly layerNormEps: number,
    readonly bias?: Float32Array,
  ) {
    this.table = new Float32Array(32 * g.length);
  }

  get out(): number {
    return this.h.length;
  }

  get bytes(): PortableLinear['bytes'] {
    const values = this.g.byteLength + this.h.byteLength;
    return { weights: 0, signs: this.signs.byteLength, values, norms: this.bias?.byteLength ?? 0 };
  }

  apply(x: Float32Array, rows: number, y: Float32Array): void {
    const { signs, g, h, table, out, bias } = this;
    const inSize = g.length;
    const bytesPerRow = inSize / 8;
    for (let r = 0; r < rows; r++) {
      this.fillTable(x.subarray(r * inSize, (r + 1) * inSize));
      const yr = y.subarray(r * out, (r + 1) * out);
      let mean = 0;
      for (let o = 0; o < out; o++) {
        const row = o * bytesPerRow;
        let sum = 0;
        for (let c = 0; c < bytesPerRow; c++) sum += table[256 * c + (signs[row + c] as number)] as number;
        const value = sum * (h[o] as number);
        yr[o] = value;
        mean += value;
      }
      mean /= out;
      let variance = 0;
      for (let o = 0; o < out; o++) variance += ((yr[o] as number) - mean) ** 2;
      const scale = 1 / Math.sqrt(variance / out + this.layerNormEps);
      for (let o = 0; o < out; o++) {
        yr[o] = ((yr[o] as number) - mean) * scale + (bias === undefined ? 0 : (bias[o] as number));
      }
    }
  }

  /** table[256 c + byte] = Σ_j ±(g ⊙ x)[8c + j], minus where bit j is set. */
  private fillTable(x: Float32Array): void {
    const { g, table } = this;
    for (let c = 0; c < g.length / 8; c++) {
      const base = 256 * c;
      let all = 0;
      for (let j = 0; j < 8; j++) all += (g[8 * c + j] as number) * (x[8 * c + j] as number);
      table[base] = all;
      for (let j = 0; j < 8; j++) {
        const twice = 2 * (g[8 * c + j] as number) * (x[8 * c + j] as number);
        const bit = 1 << j;
        for (let b = 0; b < bit; b++) table[base + bit + b] = (table[base + b] as number) - twice;
      }
    }
  }
}

/** Reads a projection of layer `layer`; a 1-bit checkpoint's training kind (float latents) is packed here. */
export async function readLinear(
  checkpoint: Checkpoint,
  layer: number,
  projection: Projection,
  signal?: AbortSignal,
): Promise<PortableLinear> {
  const name = `model.layers.${layer}.${projection}`;
  const { config } = checkpoint;
  const [out, inSize] = projectionShape(config, projection);
  const bias = checkpoint.tensors.has(`${name}.bias`)
    ? await readFiniteFloats(checkpoint, `${name}.bias`, signal)
    : undefined;
  if (checkpoint.kind === 'full') {
    return new FloatLinear(await readFiniteFloats(checkpoint, `${name}.weight`, signal), out, inSize, bias);
  }
  requireWholeBytes(config, projection, name);
  const packed = isPacked(checkpoint, `${name}.weight`);
  const signs = packed
    ? await checkpoint.readBytes(`${name}.weight`, signal)
    : packSigns(await readFiniteFloats(checkpoint, `${name}.weight`, signal));
  return new SignLinear(
    signs,
    await readFiniteFloats(checkpoint, `${name}.input_factor`, signal),
    await readFiniteFloats(checkpoint, `${name}.weight_scale`, signal),
    config.layerNormEps,
    bias,
  );
}

/** Whether a 1-bit layer's weight is stored as packed signs (else as float latents). */
export function isPacked(checkpoint: Checkpoint, name: string): boolean {
  const dtype = checkpoint.tensors.get(name)?.dtype;
  return dtype === 'U8' || dtype === 'I8';
}

/** Throws bad-value unless the projection's columns fill whole bytes of signs. */
export function requireWholeBytes(config: ModelConfig, projection: Projection, name: string): void {
  const [, inSize] = projectionShape(config, projection);
  if (inSize % 8 !== 0) {
    throw new OneBitError('bad-value', `${name}: ${inSize} input columns are not divisible by 8.`);
  }
}

/** The tensor as f32; bad-value if it holds a NaN or an infinity. */
export async function readFiniteFloats(
  checkpoint: Checkpoint,
  name: string,
  signal?: AbortSignal,
): Promise<Float32Array> {
  const values = await checkpoint.readFloats(name, signal);
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) throw notFinite(checkpoint, name);
  }
  return values;
}

/** The bad-value error of a tensor that holds a NaN or an infinity. */
export function notFinite(checkpoint: Checkpoint, name: string): OneBitError {
  const file = checkpoint.tensors.get(name)?.file ?? checkpoint.path;
  return new OneBitError(
    'bad-value',
    `${file}: ${name} holds a NaN or an infinite value; the checkpoint is damaged, or its training diverged.`,
  );
}

/** Signs of float latents `[out, in]`, least significant bit first, bit 1 = negative; zero counts as +1. */
function packSigns(latent: Float32Array): Uint8Array {
  const signs = new Uint8Array(latent.length / 8);
  for (let i = 0; i < latent.length; i++) {
    if ((latent[i] as number) < 0) signs[i >> 3] = (signs[i >> 3] as number) | (1 << (i & 7));
  }
  return signs;
}
