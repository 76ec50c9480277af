import { bitCount } from '../checkpoint/sign-packing.ts';
import { OneBitError } from '../protocol/error.ts';
import { tileSize, type InspectTileParams, type InspectTileResult } from '../protocol/inspect.ts';
import { openInspected, type InspectedCheckpoint } from './run-files.ts';
import { MatrixRows } from './sign-rows.ts';

/** A region of a matrix, in signs. */
interface Region {
  firstRow: number;
  rows: number;
  firstColumn: number;
  columns: number;
}

/**
 * One tile of the picture of a sign matrix (server/protocol/inspect.ts). Full-precision models show the signs of their
 * weights; a matrix of another shape cannot be compared with.
 * @throws bad-request (a matrix or tile that the model does not have), and what opening a checkpoint throws
 */
export async function inspectTile(
  { model, name, level, x, y, against }: InspectTileParams,
  options: { signal?: AbortSignal } = {},
): Promise<InspectTileResult> {
  const { signal } = options;
  const opened: InspectedCheckpoint[] = [];
  try {
    const matrices: MatrixRows[] = [];
    for (const path of against === undefined ? [model] : [model, against]) {
      const checkpoint = await openInspected(path, signal);
      opened.push(checkpoint);
      matrices.push(new MatrixRows(checkpoint, name));
    }
    const [matrix, other] = matrices as [MatrixRows, MatrixRows?];
    if (other !== undefined && (other.rows !== matrix.rows || other.columns !== matrix.columns)) {
      throw new OneBitError(
        'bad-request',
        `${name} is ${matrix.rows} × ${matrix.columns} in ${model} and ${other.rows} × ${other.columns} in ${against}: they cannot be compared.`,
      );
    }
    const side = tileSize << level;
    const region: Region = {
      firstRow: y * side,
      rows: Math.min(side, matrix.rows - y * side),
      firstColumn: x * side,
      columns: Math.min(side, matrix.columns - x * side),
    };
    if (region.rows < 1 || region.columns < 1) {
      throw new OneBitError(
        'bad-request',
        `${name} is ${matrix.rows} × ${matrix.columns}: it has no tile ${x}, ${y} at level ${level}.`,
      );
    }
    const height = Math.ceil(region.rows / 2 ** level);
    const width = Math.ceil(region.columns / 2 ** level);
    const counts = new Uint32Array(height * width);
    await matrix.eachBlock(
      region.firstRow,
      region.firstRow + region.rows,
      async (first, last) => {
        const signs = await matrix.signs(first, last, signal);
        if (other !== undefined) {
          const others = await other.signs(first, last, signal);
          for (let i = 0; i < signs.length; i++) signs[i] = (signs[i] as number) ^ (others[i] as number);
        }
        for (let row = first; row < last; row++) {
          const cells = counts.subarray(((row - region.firstRow) >> level) * width);
          countRow(signs.subarray(((row - first) * matrix.columns) / 8), region, level, cells);
        }
      },
      signal,
    );
    const cells = new Int8Array(height * width);
    for (let i = 0; i < height; i++) {
      const rows = Math.min(2 ** level, region.rows - i * 2 ** level);
      for (let j = 0; j < width; j++) {
        const share =
          (counts[i * width + j] as number) / (rows * Math.min(2 ** level, region.columns - j * 2 ** level));
        cells[i * width + j] = Math.round(127 * (other === undefined ? 1 - 2 * share : share));
      }
    }
    return { width, height, cells: Buffer.from(cells.buffer).toString('base64') };
  } finally {
    await Promise.all(opened.map((checkpoint) => checkpoint.close()));
  }
}

/** Adds the set bits of a row to the cells that they are in. A tile's columns begin at a multiple of 256. */
function countRow(
  row: Uint8Array,
  { firstColumn, columns }: Region,
  level: number,
  cells: Uint32Array,
): void {
  const start = firstColumn / 8;
  if (level >= 3) {
    const shift = level - 3;
    for (let c = 0; c < columns / 8; c++) {
      cells[c >> shift] = (cells[c >> shift] as number) + (bitCount[row[start + c] as number] as number);
    }
    return;
  }
  for (let j = 0; j < columns; j++) {
    const bit = ((row[start + (j >> 3)] as number) >> (j & 7)) & 1;
    cells[j >> level] = (cells[j >> level] as number) + bit;
  }
}
