import { tileSize } from '../../server/protocol/inspect.ts';

/** Which part of a sign matrix a picture shows. */
export interface SignView {
  /** Column and row at the left and upper edge; below zero where the matrix is smaller than the picture. */
  x: number;
  y: number;
  /** Pixels of a sign. */
  scale: number;
}

/** Of the picture in pixels, or of the matrix in signs (columns, rows). */
export interface Size {
  width: number;
  height: number;
}

/** Pixels of a sign at the most. */
export const largestScale = 32;

/** The whole matrix. */
export function wholeView(matrix: Size, picture: Size): SignView {
  return keepInside({ x: 0, y: 0, scale: smallestScale(matrix, picture) }, matrix, picture);
}

/** Larger by the factor; what is at this pixel stays there. */
export function zoomAt(
  view: SignView,
  factor: number,
  at: { x: number; y: number },
  matrix: Size,
  picture: Size,
): SignView {
  const least = smallestScale(matrix, picture);
  const scale = Math.min(Math.max(largestScale, least), Math.max(least, view.scale * factor));
  return keepInside(
    { scale, x: view.x + at.x / view.scale - at.x / scale, y: view.y + at.y / view.scale - at.y / scale },
    matrix,
    picture,
  );
}

/** Moved so that what was at the pixel (dx, dy) is at (0, 0). */
export function panBy(view: SignView, dx: number, dy: number, matrix: Size, picture: Size): SignView {
  return keepInside({ ...view, x: view.x + dx / view.scale, y: view.y + dy / view.scale }, matrix, picture);
}

/** The level of detail whose cells are one to two pixels large, single signs at the finest. */
export function levelOf(scale: number): number {
  return Math.min(16, Math.max(0, Math.ceil(-Math.log2(scale))));
}

/** The tiles of a level that can be seen, those in the middle first. */
export function visibleTiles(
  view: SignView,
  level: number,
  matrix: Size,
  picture: Size,
): { x: number; y: number }[] {
  const side = tileSize * 2 ** level;
  const range = (from: number, pixels: number, length: number): [number, number] => [
    Math.max(0, Math.floor(from / side)),
    Math.min(Math.ceil(length / side) - 1, Math.floor((from + pixels / view.scale) / side)),
  ];
  const [left, right] = range(view.x, picture.width, matrix.width);
  const [top, bottom] = range(view.y, picture.height, matrix.height);
  const tiles: { x: number; y: number; far: number }[] = [];
  const middle = {
    x: (view.x + picture.width / view.scale / 2) / side - 0.5,
    y: (view.y + picture.height / view.scale / 2) / side - 0.5,
  };
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) tiles.push({ x, y, far: Math.hypot(x - middle.x, y - middle.y) });
  }
  return tiles.sort((a, b) => a.far - b.far).map(({ x, y }) => ({ x, y }));
}

function smallestScale(matrix: Size, picture: Size): number {
  return Math.min(largestScale, picture.width / matrix.width, picture.height / matrix.height);
}

/** No edge of the matrix further in than the picture's, and the matrix in the middle where it is smaller. */
function keepInside(view: SignView, matrix: Size, picture: Size): SignView {
  const along = (from: number, length: number, pixels: number) => {
    const shown = pixels / view.scale;
    return shown >= length ? (length - shown) / 2 : Math.min(length - shown, Math.max(0, from));
  };
  return {
    scale: view.scale,
    x: along(view.x, matrix.width, picture.width),
    y: along(view.y, matrix.height, picture.height),
  };
}
