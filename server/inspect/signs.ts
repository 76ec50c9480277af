import { openCheckpoint } from '../checkpoint/open-checkpoint.ts';
import { OneBitError } from '../protocol/error.ts';
import {
  inspectSignsParamsSchema,
  type InspectSignsParams,
  type InspectSignsResult,
} from '../protocol/inspect.ts';
import { MatrixRows } from './sign-rows.ts';

/**
 * A picture of a region of a sign matrix: each cell is the mean sign (−1 … 1) of a block. A region of
 * fewer rows or columns than the picture asks for gives a picture of its own size, one cell a sign.
 * Full-precision models show the signs of their weights.
 * @throws bad-request (a matrix or region that the model does not have)
 */
export async function inspectSigns(
  params: InspectSignsParams,
  options: { signal?: AbortSignal } = {},
): Promise<InspectSignsResult> {
  const { model, name, row, column, rows, columns, ...size } = inspectSignsParamsSchema.parse(params);
  const { signal } = options;
  const checkpoint = await openCheckpoint(model, signal);
  try {
    const matrix = new MatrixRows(checkpoint, name);
    if (row + rows > matrix.rows || column + columns > matrix.columns) {
      throw new OneBitError(
        'bad-request',
        `${name} is ${matrix.rows} × ${matrix.columns}: rows ${row} to ${row + rows}, columns ${column} to ${column + columns} reach outside of it.`,
      );
    }
    const height = Math.min(size.height, rows);
    const width = Math.min(size.width, columns);
    const sums = new Float64Array(height * width);
    const cellOfColumn = Uint16Array.from({ length: columns }, (_, j) => Math.floor((j * width) / columns));
    await matrix.eachBlock(
      row,
      row + rows,
      async (first, last) => {
        const signs = await matrix.signs(first, last, signal);
        for (let i = first; i < last; i++) {
          const start = Math.floor(((i - row) * height) / rows) * width;
          for (let j = 0; j < columns; j++) {
            const at = (i - first) * matrix.columns + column + j;
            const sign = 1 - 2 * (((signs[at >> 3] as number) >> (at & 7)) & 1);
            const cell = start + (cellOfColumn[j] as number);
            sums[cell] = (sums[cell] as number) + sign;
          }
        }
      },
      signal,
    );
    const rowCounts = shares(rows, height);
    const columnCounts = shares(columns, width);
    const cells = Array.from(
      sums,
      (sum, cell) =>
        sum / ((rowCounts[Math.floor(cell / width)] as number) * (columnCounts[cell % width] as number)),
    );
    return { height, width, cells };
  } finally {
    await checkpoint.close();
  }
}

/** How many of `count` things fall into each of `parts` cells. */
function shares(count: number, parts: number): Uint32Array {
  const counts = new Uint32Array(parts);
  for (let i = 0; i < count; i++) {
    const part = Math.floor((i * parts) / count);
    counts[part] = (counts[part] as number) + 1;
  }
  return counts;
}
