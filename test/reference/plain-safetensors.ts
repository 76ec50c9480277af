import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
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

/** binary16 bits of a value: the nearest one, found by looking at both neighbours. */
export function nearestHalf(value: number): number {
  const sign = value < 0 ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  // Bit patterns of non-negative halves are in the order of their values.
  let [low, high] = [0, 0x7c00];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (halfValue(middle) <= magnitude) low = middle;
    else high = middle;
  }
  const below = magnitude - halfValue(low);
  const above = halfValue(high) - magnitude;
  return sign | (below < above || (below === above && low % 2 === 0) ? low : high);
}

export type WrittenDtype = 'F32' | 'F16' | 'BF16' | 'I8' | 'U8';

/** A tensor to write: values as numbers (for I8 and U8, bytes). */
export interface WrittenTensor {
  name: string;
  shape: number[];
  dtype: WrittenDtype;
  values: ArrayLike<number>;
}

/** Writes one .safetensors file, plainly. */
export function writePlainSafetensors(path: string, tensors: WrittenTensor[]): void {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  const parts: Uint8Array[] = [];
  let offset = 0;
  for (const { name, shape, dtype, values } of tensors) {
    const data = encode(values, dtype);
    header[name] = { dtype, shape, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
    parts.push(data);
  }
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, ' ')]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  writeFileSync(path, Buffer.concat([length, padded, ...parts]));
}

function encode(values: ArrayLike<number>, dtype: WrittenDtype): Uint8Array {
  switch (dtype) {
    case 'F32':
      return new Uint8Array(Float32Array.from(values).buffer);
    case 'F16':
      return new Uint8Array(Uint16Array.from(values, nearestHalf).buffer);
    case 'BF16': {
      // Truncation: the values written are then what the reader gives back.
      const words = new Uint32Array(Float32Array.from(values).buffer);
      return new Uint8Array(Uint16Array.from(words, (word) => word >>> 16).buffer);
    }
    case 'I8':
    case 'U8':
      return Uint8Array.from(values, (value) => value & 255);
  }
}
