import { element, setText, show } from '../page/element.ts';
import { formatInteger, formatPercent, formatStatistic } from '../page/format.ts';
import type { Asks } from './asks.ts';
import { levelOf, panBy, type SignView, type Size, visibleTiles, wholeView, zoomAt } from './sign-view.ts';
import { cssColour, onThemeChange, themeColour } from './theme-colour.ts';
import { gainOf, TileStore, type TilePlace, type TileSource } from './tile-store.ts';

/** Means of runs of a vector along an edge. */
export interface Profile {
  length: number;
  values: number[];
}

/** Pixels beside the signs in which g and h are drawn. */
const edge = 36;
const pictureHeight = 460;

/** The signs of one matrix, from all of them down to single ones, with g above and h at the left. */
export class SignPicture {
  readonly element: HTMLElement;
  readonly canvas = element('canvas', {
    class: 'signs-canvas',
    tabindex: '0',
    role: 'application',
    'aria-roledescription': 'picture of signs',
    'aria-describedby': 'signs-text signs-readout',
  });
  private readonly text = element('p', { class: 'note', id: 'signs-text' });
  private readonly readout = element('p', {
    class: 'signs-readout',
    id: 'signs-readout',
    'aria-live': 'polite',
  });
  private readonly error = element('p', { class: 'signs-error' });
  private store: TileStore | undefined;
  private matrix: Size = { width: 1, height: 1 };
  private picture: Size = { width: 0, height: 0 };
  private view: SignView | undefined;
  private edges: { g: Profile; h: Profile } | undefined;
  private frame = 0;
  private pointer: { x: number; y: number } | undefined;
  private byKeys = false;
  private density = 1;
  private difference = false;

  constructor(private readonly asks: Asks) {
    this.element = element('div', { class: 'signs' }, this.canvas, this.readout, this.error, this.text);
    new ResizeObserver(() => this.resize()).observe(this.canvas);
    onThemeChange(() => {
      this.store?.repaint();
      this.schedule();
    });
    this.listen();
  }

  /** Shows a matrix as a whole. */
  show(source: TileSource, rows: number, columns: number): void {
    this.store?.dispose();
    this.difference = source.against !== undefined;
    this.store = new TileStore(this.asks, source, (error) => {
      setText(this.error, error === undefined ? '' : `The signs could not be read: ${error}`);
      show(this.error, error !== undefined);
      this.schedule();
    });
    show(this.error, false);
    const same = this.matrix.width === columns && this.matrix.height === rows;
    this.matrix = { width: columns, height: rows };
    this.edges = undefined;
    this.pointer = undefined;
    // Another checkpoint's matrix of the same shape is looked at in the same place.
    if (!same) this.view = undefined;
    this.canvas.setAttribute(
      'aria-label',
      `${this.difference ? 'Differing signs' : 'Signs'} of ${source.name}: arrow keys move, plus and minus zoom, 0 shows all`,
    );
    this.schedule();
  }

  setEdges(edges: { g: Profile; h: Profile }): void {
    this.edges = edges;
    this.schedule();
  }

  clear(): void {
    this.store?.dispose();
    this.store = undefined;
  }

  private listen(): void {
    const { canvas } = this;
    let dragged: { x: number; y: number } | undefined;
    const at = (event: MouseEvent) => ({
      x: event.offsetX * this.density - edge * this.density,
      y: event.offsetY * this.density - edge * this.density,
    });
    canvas.addEventListener('pointerdown', (event) => {
      dragged = at(event);
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener('pointermove', (event) => {
      const now = at(event);
      if (dragged !== undefined && event.buttons > 0) {
        this.pan(dragged.x - now.x, dragged.y - now.y);
        dragged = now;
      }
      this.pointer = now;
      this.byKeys = false;
      this.schedule();
    });
    canvas.addEventListener('pointerup', () => (dragged = undefined));
    canvas.addEventListener('pointerleave', () => {
      this.pointer = undefined;
      this.schedule();
    });
    canvas.addEventListener('dblclick', (event) => this.zoom(4, at(event)));
    canvas.addEventListener(
      'wheel',
      (event) => {
        // The page scrolls past the picture; the wheel is the picture's when it has the focus, or with Ctrl.
        if (document.activeElement !== canvas && !event.ctrlKey) return;
        event.preventDefault();
        const pixels = event.deltaMode === 1 ? event.deltaY * 16 : event.deltaY;
        this.zoom(2 ** (-pixels / 200), at(event));
      },
      { passive: false },
    );
    canvas.addEventListener('keydown', (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const step = 0.12;
      const { width, height } = this.picture;
      const middle = { x: width / 2, y: height / 2 };
      const actions: Record<string, () => void> = {
        ArrowLeft: () => this.pan(-step * width, 0),
        ArrowRight: () => this.pan(step * width, 0),
        ArrowUp: () => this.pan(0, -step * height),
        ArrowDown: () => this.pan(0, step * height),
        '+': () => this.zoom(2, middle),
        '=': () => this.zoom(2, middle),
        '-': () => this.zoom(0.5, middle),
        '0': () => {
          this.view = undefined;
          this.schedule();
        },
      };
      const action = actions[event.key];
      if (action === undefined) return;
      event.preventDefault();
      this.byKeys = true;
      this.pointer = middle;
      action();
    });
  }

  private pan(dx: number, dy: number): void {
    if (this.view !== undefined) this.view = panBy(this.view, dx, dy, this.matrix, this.picture);
    this.schedule();
  }

  private zoom(factor: number, at: { x: number; y: number }): void {
    if (this.view !== undefined) this.view = zoomAt(this.view, factor, at, this.matrix, this.picture);
    this.schedule();
  }

  private resize(): void {
    const { clientWidth } = this.canvas;
    if (clientWidth === 0) return;
    this.density = window.devicePixelRatio;
    this.canvas.width = Math.round(clientWidth * this.density);
    this.canvas.height = Math.round(pictureHeight * this.density);
    this.picture = {
      width: Math.max(1, this.canvas.width - edge * this.density),
      height: this.canvas.height - edge * this.density,
    };
    if (this.view !== undefined) this.view = panBy(this.view, 0, 0, this.matrix, this.picture);
    this.schedule();
  }

  private schedule(): void {
    if (this.frame === 0) this.frame = requestAnimationFrame(() => this.draw());
  }

  private draw(): void {
    this.frame = 0;
    const context = this.canvas.getContext('2d', { alpha: false });
    if (context === null || this.store === undefined || this.picture.width === 0) return;
    const view = (this.view ??= wholeView(this.matrix, this.picture));
    const level = levelOf(view.scale);
    const places = visibleTiles(view, level, this.matrix, this.picture).map((place) => ({ level, ...place }));
    this.store.want(places);
    const left = edge * this.density;
    context.fillStyle = cssColour(themeColour('--vscode-editor-background'));
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    context.save();
    context.beginPath();
    context.rect(left, left, this.picture.width, this.picture.height);
    context.clip();
    context.translate(left, left);
    context.imageSmoothingEnabled = false;
    for (const place of places) this.drawTile(context, view, place);
    if (this.byKeys && document.activeElement === this.canvas) this.drawCross(context);
    context.restore();
    this.drawEdges(context, view);
    // For who measures the page.
    this.canvas.dataset['tileBytes'] = String(this.store.bytes);
    this.describe(view, level);
  }

  /** The tile, or what a coarser one has of its place until it comes. */
  private drawTile(context: CanvasRenderingContext2D, view: SignView, place: TilePlace): void {
    const side = 256 * 2 ** place.level;
    for (let up = 0; up <= 16 - place.level; up++) {
      const level = place.level + up;
      const tile = this.store?.get({ level, x: place.x >> up, y: place.y >> up });
      if (tile === undefined) continue;
      const cell = 2 ** level;
      // In cells of that tile.
      const part = 256 / 2 ** up;
      const fromX = (place.x % 2 ** up) * part;
      const fromY = (place.y % 2 ** up) * part;
      const width = Math.min(part, tile.width - fromX);
      const height = Math.min(part, tile.height - fromY);
      if (width <= 0 || height <= 0) return;
      context.drawImage(
        tile.image,
        ...[fromX, fromY, width, height],
        ...[(place.x * side - view.x) * view.scale, (place.y * side - view.y) * view.scale],
        ...[width * cell * view.scale, height * cell * view.scale],
      );
      return;
    }
  }

  private drawCross(context: CanvasRenderingContext2D): void {
    const [x, y] = [Math.round(this.picture.width / 2) + 0.5, Math.round(this.picture.height / 2) + 0.5];
    context.strokeStyle = cssColour(themeColour('--vscode-focusBorder', '--vscode-foreground'));
    context.lineWidth = 1;
    context.strokeRect(x - 6, y - 6, 12, 12);
  }

  /** g above and h at the left: the size of each value, against the largest of its vector. */
  private drawEdges(context: CanvasRenderingContext2D, view: SignView): void {
    if (this.edges === undefined) return;
    const left = edge * this.density;
    const room = left - 6 * this.density;
    context.fillStyle = cssColour(themeColour('--vscode-charts-green', '--vscode-foreground'));
    const draw = (
      profile: Profile,
      from: number,
      length: number,
      bar: (at: number, size: number) => void,
    ) => {
      const most = profile.values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
      const run = Math.ceil(profile.length / Math.max(1, profile.values.length));
      for (let pixel = 0; pixel < length; pixel++) {
        const index = Math.floor(from + (pixel + 0.5) / view.scale);
        if (index < 0 || index >= profile.length) continue;
        const value = profile.values[Math.floor(index / run)] ?? 0;
        if (most > 0) bar(pixel, (Math.abs(value) / most) * room);
      }
    };
    draw(this.edges.g, view.x, this.picture.width, (x, size) =>
      context.fillRect(left + x, left - 3 * this.density - size, 1, size),
    );
    draw(this.edges.h, view.y, this.picture.height, (y, size) =>
      context.fillRect(left - 3 * this.density - size, left + y, size, 1),
    );
  }

  private describe(view: SignView, level: number): void {
    const cell = 2 ** level;
    const part = (from: number, pixels: number, length: number) =>
      `${formatInteger(Math.max(0, Math.floor(from)))}–${formatInteger(Math.min(length, Math.ceil(from + pixels / view.scale)) - 1)}`;
    const full = this.difference ? 1 : 1 / gainOf(level);
    setText(
      this.text,
      [
        `Rows ${part(view.y, this.picture.height, this.matrix.height)} of ${formatInteger(this.matrix.height)}, columns ${part(view.x, this.picture.width, this.matrix.width)} of ${formatInteger(this.matrix.width)}.`,
        cell === 1 ? 'Each cell is one sign:' : `Each cell is the mean of ${cell} × ${cell} signs:`,
        this.difference
          ? 'red where they differ.'
          : `blue is +${cell === 1 ? '1' : formatStatistic(full)}, orange −${cell === 1 ? '1' : formatStatistic(full)}.`,
        'Above: |g| along the columns; at the left: |h| along the rows. Drag or arrow keys move, + and − or the wheel (after a click) zoom, 0 shows all.',
      ].join(' '),
    );
    const { pointer } = this;
    setText(this.readout, pointer === undefined ? '\u00a0' : this.readAt(view, level, pointer));
  }

  /** Coordinates, sign or mean, g and h at a pixel. */
  private readAt(view: SignView, level: number, at: { x: number; y: number }): string {
    const column = Math.floor(view.x + at.x / view.scale);
    const row = Math.floor(view.y + at.y / view.scale);
    const inside = column >= 0 && row >= 0 && column < this.matrix.width && row < this.matrix.height;
    if (!inside || at.x < 0 || at.y < 0) return '\u00a0';
    const cell = 2 ** level;
    const side = 256 * cell;
    const tile = this.store?.get({ level, x: Math.floor(column / side), y: Math.floor(row / side) });
    const inTile = (index: number) => Math.floor((index % side) / cell);
    const value = tile?.cells[inTile(row) * tile.width + inTile(column)];
    const parts = [`row ${formatInteger(row)}, column ${formatInteger(column)}`];
    if (value === undefined) parts.push('…');
    else if (this.difference)
      parts.push(cell === 1 ? (value > 0 ? 'differs' : 'same') : `${formatPercent(value / 127)} differ`);
    else parts.push(cell === 1 ? (value > 0 ? '+1' : '−1') : `mean ${formatStatistic(value / 127)}`);
    if (this.edges !== undefined) {
      const of = ({ length, values }: Profile, index: number) =>
        formatStatistic(values[Math.floor(index / Math.ceil(length / values.length))] ?? NaN);
      parts.push(`g ${of(this.edges.g, column)}`, `h ${of(this.edges.h, row)}`);
    }
    return parts.join(' · ');
  }
}
