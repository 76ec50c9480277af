import { open } from 'node:fs/promises';
import { asOneBitError, OneBitError } from '../protocol/error.ts';
import { widenFloats } from '../checkpoint/float-conversion.ts';

/** A matrix from a NumPy file, as f32, row-major. */
export interface NpyMatrix {
  rows: number;
  columns: number;
  values: Float32Array;
}

const magic = Buffer.from('\x93NUMPY', 'latin1');
const maxHeaderBytes = 1 << 16;
const kinds: Readonly<Record<string, number>> = {
  '<f2': 2,
  '<f4': 4,
  '<f8': 8,
  '>f2': 2,
  '>f4': 4,
  '>f8': 8,
};

/**
 * Reads a 2-D array of floats from a NumPy `.npy` file, format versions 1 to 3 (NEP 1): f2, f4 or f8 of
 * either byte order, C or Fortran order. f8 is rounded to f32.
 * @throws not-found, unreadable, bad-file (no .npy file, cut short), unsupported (other dtype or number
 *   of dimensions)
 */
export async function readNpyMatrix(path: string): Promise<NpyMatrix> {
  const file = await open(path, 'r').catch((caught: unknown) => {
    throw asOneBitError(caught, path);
  });
  try {
    const start = Buffer.alloc(12);
    const { bytesRead } = await file.read(start, 0, 12, 0);
    const version = start[6] ?? 0;
    if (bytesRead < 12 || !start.subarray(0, 6).equals(magic) || version < 1 || version > 3) {
      throw new OneBitError('bad-file', `${path} is not a NumPy .npy file: save the matrix with numpy.save.`);
    }
    const headerStart = version === 1 ? 10 : 12;
    const headerBytes = version === 1 ? start.readUInt16LE(8) : start.readUInt32LE(8);
    const size = (await file.stat()).size;
    if (headerBytes > maxHeaderBytes || headerStart + headerBytes > size) {
      throw cutShort(path, `its header should hold ${headerBytes} bytes`);
    }
    const header = Buffer.alloc(headerBytes);
    await file.read(header, 0, headerBytes, headerStart);
    const { descr, fortran, shape } = parseHeader(header.toString('latin1'), path);

    const width = kinds[descr];
    if (width === undefined) {
      throw new OneBitError(
        'unsupported',
        `${path} holds ${descr}; floats are needed: save it as numpy.float32 (or float16, float64).`,
      );
    }
    const [rows, columns] = shape;
    if (shape.length !== 2 || rows === undefined || columns === undefined || rows < 1 || columns < 1) {
      throw new OneBitError(
        'unsupported',
        `${path} has the shape (${shape.join(', ')}); a matrix (out, in) is needed.`,
      );
    }
    const byteLength = rows * columns * width;
    if (headerStart + headerBytes + byteLength > size) {
      throw cutShort(path, `${rows} × ${columns} values of ${width} bytes should follow its header`);
    }
    const bytes = new Uint8Array(byteLength);
    for (let done = 0; done < byteLength;) {
      const length = Math.min(1 << 28, byteLength - done);
      const part = await file.read(bytes, done, length, headerStart + headerBytes + done);
      if (part.bytesRead === 0) throw cutShort(path, 'it shrank while it was read');
      done += part.bytesRead;
    }
    if (descr.startsWith('>')) swapBytes(bytes, width);
    const values = toFloats(bytes, width);
    return { rows, columns, values: fortran ? transpose(values, columns, rows) : values };
  } catch (caught) {
    throw asOneBitError(caught, path);
  } finally {
    await file.close();
  }
}

function cutShort(path: string, what: string): OneBitError {
  return new OneBitError('bad-file', `${path} was cut short: ${what}; save or copy it again.`);
}

/** The header is a Python dictionary literal with three keys. */
function parseHeader(text: string, path: string): { descr: string; fortran: boolean; shape: number[] } {
  const descr = /['"]descr['"]\s*:\s*(?:['"]([^'"]*)['"]|(\[))/.exec(text);
  const fortran = /['"]fortran_order['"]\s*:\s*(True|False)/.exec(text)?.[1];
  const shape = /['"]shape['"]\s*:\s*\(([\d\s,]*)\)/.exec(text)?.[1];
  if (descr === null || fortran === undefined || shape === undefined) {
    throw new OneBitError('bad-file', `${path}: its header lacks descr, fortran_order or shape.`);
  }
  return {
    descr: descr[1] ?? 'records',
    fortran: fortran === 'True',
    shape: shape
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== '')
      .map(Number),
  };
}

function swapBytes(bytes: Uint8Array, width: number): void {
  const buffer = Buffer.from(bytes.buffer);
  if (width === 2) buffer.swap16();
  else if (width === 4) buffer.swap32();
  else buffer.swap64();
}

function toFloats(bytes: Uint8Array, width: number): Float32Array {
  if (width === 8) return Float32Array.from(new Float64Array(bytes.buffer));
  const values = new Float32Array(bytes.byteLength / width);
  widenFloats(bytes, width === 4 ? 'F32' : 'F16', values);
  return values;
}

/** `[rows, columns]` to `[columns, rows]`. */
function transpose(values: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) out[j * rows + i] = values[i * columns + j] as number;
  }
  return out;
}
