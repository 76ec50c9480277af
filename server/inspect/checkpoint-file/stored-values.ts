import { widenFloats } from '../../checkpoint/float-conversion.ts';
import { dequantisers } from '../../checkpoint/gguf/dequantise.ts';
import { ggmlTypes } from '../../checkpoint/gguf/ggml-types.ts';

/** How the bytes of a type become numbers. */
export interface StoredValues {
  /** A part of a tensor is a whole number of these. */
  blockBytes: number;
  /** Values in a block. */
  blockValues: number;
  /** @param bytes whole blocks, at an offset that is a multiple of 8 @param into as many values as the blocks hold */
  convert(bytes: Uint8Array, into: Float64Array): void;
}

type IntegerArray = new (
  buffer: ArrayBufferLike,
  offset: number,
  length: number,
) => ArrayLike<number | bigint>;

const integers: Readonly<Record<string, [IntegerArray, number]>> = {
  I8: [Int8Array, 1],
  U8: [Uint8Array, 1],
  BOOL: [Uint8Array, 1],
  I16: [Int16Array, 2],
  U16: [Uint16Array, 2],
  I32: [Int32Array, 4],
  U32: [Uint32Array, 4],
  I64: [BigInt64Array, 8],
  U64: [BigUint64Array, 8],
  F64: [Float64Array, 8],
};

/** undefined for types whose numbers are not read: 8-bit floats, complex numbers and the rarer of ggml's. */
export function storedValues(type: string): StoredValues | undefined {
  const integer = integers[type];
  if (Object.hasOwn(integers, type) && integer !== undefined) {
    const [Values, size] = integer;
    return {
      blockBytes: size,
      blockValues: 1,
      convert: (bytes, into) => {
        const values = new Values(bytes.buffer, bytes.byteOffset, bytes.byteLength / size);
        for (let i = 0; i < values.length; i++) into[i] = Number(values[i]);
      },
    };
  }
  if (type === 'F32' || type === 'F16' || type === 'BF16') {
    const size = type === 'F32' ? 4 : 2;
    return {
      blockBytes: size,
      blockValues: 1,
      convert: (bytes, into) => {
        const floats = new Float32Array(bytes.byteLength / size);
        widenFloats(bytes, type, floats);
        into.set(floats);
      },
    };
  }
  const dequantise = dequantisers.get(type);
  const block = [...ggmlTypes.values()].find(({ name }) => name === type);
  if (dequantise === undefined || block === undefined) return undefined;
  return {
    blockBytes: block.bytes,
    blockValues: block.weights,
    convert: (bytes, into) => {
      const count = bytes.byteLength / block.bytes;
      const floats = new Float32Array(count * block.weights);
      dequantise(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), count, floats);
      into.set(floats);
    },
  };
}
