import type { CheckpointTensors, TensorRow } from '../../server/protocol/checkpoint-file.ts';

/** Rows are asked for in pages of this size. */
export const pageRows = 200;
/** Pages that are kept: far more than are seen at a time. */
const most = 50;

/** The rows that have come so far, of one way to search and sort. */
export class RowPages {
  /** Of all rows; undefined until the first answer. */
  total: number | undefined;
  private readonly pages = new Map<number, readonly TensorRow[]>();
  private readonly asked = new Set<number>();

  row(index: number): TensorRow | undefined {
    return this.pages.get(Math.floor(index / pageRows))?.[index % pageRows];
  }

  /** First rows of the pages that are needed for these rows and have not been asked for. */
  missing(first: number, count: number): number[] {
    const last = this.total === undefined ? 0 : Math.max(0, Math.min(first + count, this.total) - 1);
    const found: number[] = [];
    for (let page = Math.floor(first / pageRows); page <= Math.floor(last / pageRows); page++) {
      if (this.pages.has(page) || this.asked.has(page)) continue;
      this.asked.add(page);
      found.push(page * pageRows);
    }
    return found;
  }

  add({ total, from, rows }: CheckpointTensors): void {
    this.total = total;
    const page = from / pageRows;
    this.asked.delete(page);
    this.pages.set(page, rows);
    for (const oldest of this.pages.keys()) {
      if (this.pages.size <= most) break;
      this.pages.delete(oldest);
    }
  }
}
