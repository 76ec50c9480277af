import { describe, expect, it } from 'vitest';
import {
  largestScale,
  levelOf,
  panBy,
  type SignView,
  visibleTiles,
  wholeView,
  zoomAt,
} from '../../../webview/layers/sign-view.ts';

const matrix = { width: 4096, height: 11008 };
const picture = { width: 1000, height: 430 };
const whole = wholeView(matrix, picture);

/** Column and row at a pixel. */
const signAt = (view: SignView, x: number, y: number) => [view.x + x / view.scale, view.y + y / view.scale];

describe('the view of a sign matrix', () => {
  it('shows the whole matrix at first, in the middle', () => {
    expect(whole.scale).toBeCloseTo(430 / 11008);
    expect(signAt(whole, 0, 0)[1]).toBeCloseTo(0);
    expect(signAt(whole, 1000, 430)[1]).toBeCloseTo(11008);
    const [left = 0] = signAt(whole, 0, 0);
    const [right = 0] = signAt(whole, 1000, 430);
    expect(-left).toBeCloseTo(right - 4096);
  });

  it('keeps what is under the pointer while it zooms', () => {
    let view = zoomAt(whole, 60, { x: 500, y: 215 }, matrix, picture);
    const before = signAt(view, 300, 100);
    view = zoomAt(view, 2, { x: 300, y: 100 }, matrix, picture);
    const after = signAt(view, 300, 100);
    expect(after[0]).toBeCloseTo(before[0] ?? NaN);
    expect(after[1]).toBeCloseTo(before[1] ?? NaN);
  });

  it('zooms no further than single signs can be told apart, and out to the whole', () => {
    const near = zoomAt(whole, 1e9, { x: 0, y: 0 }, matrix, picture);
    expect(near.scale).toBe(largestScale);
    expect(zoomAt(near, 1e-9, { x: 900, y: 10 }, matrix, picture)).toEqual(whole);
  });

  it('leaves the matrix on neither side', () => {
    const near = zoomAt(whole, 100, { x: 500, y: 200 }, matrix, picture);
    const corner = panBy(near, -1e9, -1e9, matrix, picture);
    expect([corner.x, corner.y]).toEqual([0, 0]);
    const other = signAt(panBy(near, 1e9, 1e9, matrix, picture), picture.width, picture.height);
    expect(other[0]).toBeCloseTo(4096);
    expect(other[1]).toBeCloseTo(11008);
  });

  it('draws cells of one to two pixels, single signs from one pixel on', () => {
    for (const scale of [0.01, 0.039, 0.25, 0.3, 0.5, 0.9]) {
      const cell = scale * 2 ** levelOf(scale);
      expect(cell).toBeGreaterThanOrEqual(1);
      expect(cell).toBeLessThan(2);
    }
    expect(levelOf(1)).toBe(0);
    expect(levelOf(32)).toBe(0);
  });

  it('wants the tiles that can be seen, each once, those in the middle first', () => {
    const view = { x: 1024, y: 2048, scale: 1 };
    const tiles = visibleTiles(view, 0, matrix, picture);
    const names = new Set(tiles.map(({ x, y }) => `${x} ${y}`));
    expect(names.size).toBe(tiles.length);
    // Columns 1024 … 2024 and rows 2048 … 2478, in tiles of 256.
    expect([...names].sort()).toEqual([4, 5, 6, 7].flatMap((x) => [8, 9].map((y) => `${x} ${y}`)).sort());
    expect(tiles[0]?.x === 5 || tiles[0]?.x === 6).toBe(true);
  });

  it('wants no tile outside of the matrix', () => {
    const tiles = visibleTiles(whole, levelOf(whole.scale), matrix, picture);
    const side = 256 * 2 ** levelOf(whole.scale);
    for (const { x, y } of tiles) {
      expect(x * side).toBeLessThan(4096);
      expect(y * side).toBeLessThan(11008);
      expect(Math.min(x, y)).toBeGreaterThanOrEqual(0);
    }
    expect(tiles).toHaveLength(Math.ceil(4096 / side) * Math.ceil(11008 / side));
  });
});
