import { OneBitError } from '../../server/protocol/error.ts';
import type { InspectTileResult } from '../../server/protocol/inspect.ts';
import type { Asks } from './asks.ts';
import { cellColours } from './theme-colour.ts';

export interface TilePlace {
  level: number;
  x: number;
  y: number;
}

export interface Tile {
  width: number;
  height: number;
  cells: Int8Array;
  image: HTMLCanvasElement;
}

/** Which matrix the tiles are of. */
export interface TileSource {
  model: string;
  name: string;
  /** Checkpoint whose signs are compared: the tiles show where they differ. */
  against?: string;
}

/** Of all tiles together, cells and pictures: the least recently used go first. */
export const mostTileBytes = 32 * 1024 * 1024;
/** The server reads a matrix for each: more at once would make the first ones late. */
const mostAtOnce = 3;

const keyOf = ({ level, x, y }: TilePlace) => `${level}/${x}/${y}`;
const bytesOf = (tile: Tile) => tile.width * tile.height * 5;

/** The tiles of one matrix that are in memory, and the fetching of others. */
export class TileStore {
  /** In the order of use, the latest last. */
  private readonly tiles = new Map<string, Tile>();
  private readonly fetching = new Map<string, AbortController>();
  private readonly failed = new Set<string>();
  private readonly colours = new Map<number, Uint32Array>();
  private wanted: TilePlace[] = [];
  bytes = 0;

  constructor(
    private readonly asks: Asks,
    private readonly source: TileSource,
    private readonly onTile: (error?: string) => void,
  ) {}

  get(place: TilePlace): Tile | undefined {
    const key = keyOf(place);
    const tile = this.tiles.get(key);
    if (tile !== undefined) {
      this.tiles.delete(key);
      this.tiles.set(key, tile);
    }
    return tile;
  }

  /** Fetches these, in this order; gives up those that are under way and no longer wanted. */
  want(places: TilePlace[]): void {
    this.wanted = places.filter((place) => {
      const key = keyOf(place);
      return !this.tiles.has(key) && !this.failed.has(key);
    });
    const keys = new Set(this.wanted.map(keyOf));
    for (const [key, controller] of this.fetching) if (!keys.has(key)) controller.abort();
    this.fetchMore();
  }

  /** Tries those again that failed. */
  retry(): void {
    this.failed.clear();
  }

  /** The theme is another: the cells stay, their colours are made anew. */
  repaint(): void {
    this.colours.clear();
    for (const [key, tile] of this.tiles) paint(tile, this.coloursOf(Number(key.split('/')[0])));
  }

  dispose(): void {
    this.wanted = [];
    for (const controller of this.fetching.values()) controller.abort();
    for (const tile of this.tiles.values()) tile.image.width = 0;
    this.tiles.clear();
    this.bytes = 0;
  }

  private fetchMore(): void {
    for (const place of this.wanted) {
      if (this.fetching.size >= mostAtOnce) return;
      if (!this.fetching.has(keyOf(place))) void this.fetch(place);
    }
  }

  private async fetch(place: TilePlace): Promise<void> {
    const key = keyOf(place);
    const controller = new AbortController();
    this.fetching.set(key, controller);
    let error: string | undefined;
    try {
      this.add(
        key,
        place.level,
        await this.asks.ask('inspect/tile', { ...this.source, ...place }, controller.signal),
      );
    } catch (caught) {
      if (!(caught instanceof OneBitError) || caught.code !== 'cancelled') {
        this.failed.add(key);
        error = caught instanceof Error ? caught.message : String(caught);
      }
    }
    this.fetching.delete(key);
    this.wanted = this.wanted.filter((one) => keyOf(one) !== key || controller.signal.aborted);
    this.fetchMore();
    if (!controller.signal.aborted) this.onTile(error);
  }

  private add(key: string, level: number, { width, height, cells }: InspectTileResult): void {
    const bytes = Uint8Array.from(atob(cells), (character) => character.charCodeAt(0));
    const image = document.createElement('canvas');
    image.width = width;
    image.height = height;
    const tile = { width, height, cells: new Int8Array(bytes.buffer), image };
    paint(tile, this.coloursOf(level));
    this.tiles.set(key, tile);
    this.bytes += bytesOf(tile);
    for (const [oldKey, old] of this.tiles) {
      if (this.bytes <= mostTileBytes) break;
      this.tiles.delete(oldKey);
      this.bytes -= bytesOf(old);
      // Frees the picture's memory now rather than with some later collection.
      old.image.width = 0;
    }
  }

  private coloursOf(level: number): Uint32Array {
    const known = this.colours.get(level) ?? cellColours(this.source.against !== undefined, gainOf(level));
    this.colours.set(level, known);
    return known;
  }
}

/** The mean of 2ⁿ × 2ⁿ signs that are independent deviates by 2⁻ⁿ: four times that is full colour. */
export function gainOf(level: number): number {
  return Math.max(1, 2 ** level / 4);
}

function paint({ width, height, cells, image }: Tile, colours: Uint32Array): void {
  const pixels = new Uint32Array(width * height);
  for (let i = 0; i < pixels.length; i++) pixels[i] = colours[(cells[i] ?? 0) & 255] ?? 0;
  image
    .getContext('2d', { alpha: false })
    ?.putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), width, height), 0, 0);
}
