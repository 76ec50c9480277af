/** Taller elements are drawn wrongly by browsers, so a list of more rows moves faster than its scroll bar says. */
const tallest = 8_000_000;

export interface RowWindow {
  /** Height of what is scrolled, in pixels. */
  height: number;
  /** First row in view, and how many pixels of it are above the upper edge. */
  first: number;
  hidden: number;
}

/**
 * Which rows are in view. Lists that fit below the limit scroll pixel by pixel; of longer ones the scroll position says
 * the share of the way.
 * @param view height of the part that is seen, all in pixels
 */
export function rowWindow(total: number, rowHeight: number, view: number, scrollTop: number): RowWindow {
  const real = total * rowHeight;
  const height = Math.min(real, tallest);
  const way = Math.max(0, height - view);
  const share = way === 0 ? 0 : Math.min(1, Math.max(0, scrollTop / way));
  const top = share * Math.max(0, real - view);
  const first = Math.min(Math.max(0, total - 1), Math.floor(top / rowHeight));
  return { height, first, hidden: top - first * rowHeight };
}

/** Where to scroll so that a row is the first in view: the inverse of `rowWindow`. */
export function scrollTopOf(row: number, total: number, rowHeight: number, view: number): number {
  const real = total * rowHeight;
  const way = Math.max(0, Math.min(real, tallest) - view);
  const most = Math.max(0, real - view);
  return most === 0 ? 0 : way * Math.min(1, (row * rowHeight) / most);
}
