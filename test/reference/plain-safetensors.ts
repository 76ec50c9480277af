import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A tensor in plain numbers: floats, or the raw bytes of packed signs. Row-major. */
export interface PlainTensor {
  shape: number[];
  values: Float64Array;
  dtype: string;
}

/** Every tensor of the .safetensors files of a folder, in float64. Whole files in memory: for small models. */
export function readPlainTensors(folder: string): Map<string, PlainTensor> {
  const tensors = new Map<string, PlainTensor>();
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.safetensors'))) {
    const file = readFileSync(join(folder, name));
    const headerBytes = Number(file.readBigUInt64LE(0));
    const header = JSON.parse(file.toString('utf8', 8, 8 + headerBytes)) as Record<
      string,
      { dtype: string; shape: number[]; data_offsets: [number, number] }
    >;
    for (const [tensor, entry] of Object.entries(header)) {
      if (tensor === '__metadata__') continue;
      const [first, last] = entry.data_offsets;
      const data = file.subarray(8 + headerBytes + first, 8 + headerBytes + last);
      tensors.set(tensor, { shape: entry.shape, dtype: entry.dtype, values: decode(data, entry.dtype) });
    }
  }
  return tensors;
}

function decode(data: Buffer, dtype: string): Float64Array {
  switch (dtype) {
    case 'F32':
      return Float64Array.from({ length: data.length / 4 }, (_, i) => data.readFloatLE(4 * i));
    case 'BF16': {
      const word = new DataView(new ArrayBuffer(4));
      return Float64Array.from({ length: data.length / 2 }, (_, i) => {
        word.setUint32(0, data.readUInt16LE(2 * i) * 65536);
        return word.getFloat32(0);
      });
    }
    case 'F16':
      return Float64Array.from({ length: data.length / 2 }, (_, i) => halfValue(data.readUInt16LE(2 * i)));
    case 'U8':
    case 'I8':
      return Float64Array.from(data);
    default:
      throw new Error(`the reference does not read ${dtype}`);
  }
}

/** The value of IEEE 754 binary16 bits, by its definition. */
export function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
