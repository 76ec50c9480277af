import type { TensorSource } from '../../checkpoint/checkpoint.ts';
import { floatsToBytes } from '../../checkpoint/float-conversion.ts';
import { bitCount, packSigns } from '../../checkpoint/sign-packing.ts';
import type { SignFlipShares } from '../../protocol/progress.ts';
import type { Parameters } from '../parameters.ts';

/** Before a matrix's name in a checkpoint, where its latent weights have that name. */
const prefix = 'signs.';

/** The packed signs of one matrix (see packSigns). */
interface Signs {
  layer: number;
  start: Uint8Array;
  last: Uint8Array;
}

/**
 * How many of a student's signs have turned, layer by layer: what 1-bit training changes in the end. Keeps
 * two bits a weight, the sign at the start and at the last measurement, and looks at the weights only when
 * it is asked.
 */
export class SignFlips {
  private constructor(
    private readonly parameters: Parameters,
    private readonly matrices: Map<string, Signs>,
  ) {}

  /** Takes the signs as they are now as the start. Undefined where no matrix is 1-bit. */
  static async begin(parameters: Parameters): Promise<SignFlips | undefined> {
    const matrices = new Map<string, Signs>();
    for (const name of parameters.keys()) {
      const layer = /^model\.layers\.(\d+)\..+\.weight$/.exec(name)?.[1];
      if (layer === undefined || !parameters.has(`${name}_scale`)) continue;
      const start = await signsOf(parameters, name);
      matrices.set(name, { layer: Number(layer), start, last: start });
    }
    return matrices.size === 0 ? undefined : new SignFlips(parameters, matrices);
  }

  /** Shares of each layer's signs, 0 … 1; the signs of now become those of the last measurement. */
  async measure(): Promise<SignFlipShares> {
    const layers = new Map<number, { signs: number; sinceLast: number; sinceStart: number }>();
    for (const [name, matrix] of this.matrices) {
      const now = await signsOf(this.parameters, name);
      const sums = layers.get(matrix.layer) ?? { signs: 0, sinceLast: 0, sinceStart: 0 };
      layers.set(matrix.layer, sums);
      sums.signs += 8 * now.length;
      sums.sinceLast += differing(now, matrix.last);
      sums.sinceStart += differing(now, matrix.start);
      matrix.last = now;
    }
    const inOrder = [...layers].sort(([a], [b]) => a - b).map(([, sums]) => sums);
    return {
      sinceLast: inOrder.map(({ sinceLast, signs }) => sinceLast / signs),
      sinceStart: inOrder.map(({ sinceStart, signs }) => sinceStart / signs),
    };
  }

  /** The signs at the last measurement, for a checkpoint. */
  sources(): TensorSource[] {
    return [...this.matrices].map(([name, { last }]) => ({
      name: `${prefix}${name}`,
      dtype: 'U8',
      shape: [last.length],
      bytes: () => last,
    }));
  }

  /** Signs at the last measurement, with g and h as they are now: what SignHistory keeps. */
  snapshot(): TensorSource[] {
    return [...this.matrices].flatMap(([name, { last }]) => {
      const [out = 0] = this.parameters.get(name)?.shape ?? [];
      const values = [`${name}_scale`, name.replace(/weight$/, 'input_factor')].map((part): TensorSource => {
        const variable = this.parameters.get(part);
        if (variable === undefined) throw new Error(`There is no parameter ${part}.`);
        const bytes = async () => floatsToBytes((await variable.data()) as Float32Array);
        return { name: part, dtype: 'F32', shape: variable.shape, bytes };
      });
      return [{ name, dtype: 'U8', shape: [out, last.length / out], bytes: () => last }, ...values];
    });
  }

  /** The signs at the last measurement, from a checkpoint. */
  restore(name: string, signs: Uint8Array): void {
    const matrix = this.matrices.get(name.slice(prefix.length));
    if (matrix?.last.length === signs.length) matrix.last = signs;
  }
}

async function signsOf(parameters: Parameters, name: string): Promise<Uint8Array> {
  const variable = parameters.get(name);
  if (variable === undefined) throw new Error(`There is no parameter ${name}.`);
  const [out = 0, inner = 0] = variable.shape;
  return packSigns((await variable.data()) as Float32Array, out, inner, name);
}

/** Bits in which two packed matrices differ. */
function differing(a: Uint8Array, b: Uint8Array): number {
  let count = 0;
  for (let i = 0; i < a.length; i++) count += bitCount[(a[i] ?? 0) ^ (b[i] ?? 0)] ?? 0;
  return count;
}
