import { element, setAttribute, setText, show } from '../page/element.ts';
import { formatInteger } from '../page/format.ts';
import type { ColourScale } from './colour-scale.ts';
import { projections, shortKind, shortName } from './layer-columns.ts';
import { type LayerMetric, metricText, type ShownLayer } from './layer-metrics.ts';

interface Cell {
  layer: ShownLayer;
  element: HTMLElement;
}

/**
 * The matrices of a model as a map, layers across and projections down, coloured by one metric: the WAI-ARIA grid, one
 * stop for the Tab key, arrow keys inside it, Enter opens a matrix. What is under the pointer or in focus is said beside it.
 */
export class LayerMap {
  readonly element: HTMLElement;
  private readonly grid = element('div', { class: 'map-grid', role: 'grid' });
  private readonly tip = element('div', { class: 'map-tip', 'aria-hidden': 'true' });
  private readonly title = element('p', { class: 'map-title' });
  private readonly low = element('span', {});
  private readonly high = element('span', {});
  private readonly bar = element('span', { class: 'map-bar' });
  /** Row by row; a place without a matrix is undefined. */
  private rows: (Cell | undefined)[][] = [];
  private at = { row: 0, column: 0 };
  private shown: ShownLayer[] | undefined;
  private metric: LayerMetric | undefined;

  /** `onOpen` hears of a click on a matrix, or Enter on it. */
  constructor(private readonly onOpen: (name: string) => void) {
    this.element = element(
      'div',
      { class: 'map' },
      this.title,
      element('div', { class: 'map-scroll' }, this.grid),
      element('div', { class: 'map-legend', 'aria-hidden': 'true' }, this.low, this.bar, this.high),
      this.tip,
    );
    show(this.tip, false);
    this.listen();
  }

  /** @param more name of the matrix whose view is open; what stands over the map where there are two of them */
  show(
    layers: ShownLayer[],
    metric: LayerMetric,
    scale: ColourScale,
    { open, title }: { open?: string; title?: string },
  ): void {
    setText(this.title, title ?? '');
    show(this.title, title !== undefined);
    if (layers !== this.shown) this.make(layers);
    this.metric = metric;
    setAttribute(
      this.grid,
      'aria-label',
      `Map of the matrices${title === undefined ? '' : ` of ${title}`}, layers across, projections down, coloured by ${metric.label}, ` +
        `from ${metric.format(scale.low)} to ${metric.format(scale.high)}`,
    );
    for (const cell of this.cells()) {
      const share = scale.share(metric.key(cell.layer));
      const name = shortName(cell.layer.name);
      setAttribute(cell.element, 'aria-label', `${name}: ${metric.label} ${metricText(metric, cell.layer)}`);
      setAttribute(cell.element, 'aria-selected', String(cell.layer.name === open));
      setAttribute(cell.element, 'data-end', share === undefined ? 'none' : share < 0 ? 'low' : 'high');
      cell.element.style.setProperty('--share', `${(Math.abs(share ?? 0) * 100).toFixed(1)}%`);
    }
    setText(this.low, metric.format(scale.low));
    setText(this.high, metric.format(scale.high));
    setAttribute(this.bar, 'data-both', scale.middle !== undefined);
    show(this.tip, false);
  }

  private *cells(): Iterable<Cell> {
    for (const row of this.rows) for (const cell of row) if (cell !== undefined) yield cell;
  }

  private make(layers: ShownLayer[]): void {
    const hadFocus = this.grid.contains(document.activeElement);
    this.shown = layers;
    const kinds = projections(layers);
    const numbers = [...new Set(layers.map(({ layer }) => layer))].sort((a, b) => a - b);
    const byPlace = new Map(layers.map((layer) => [`${layer.projection} ${layer.layer}`, layer]));
    this.grid.style.setProperty('--layers', String(numbers.length));
    // So many numbers that they do not touch where cells are narrow.
    const every = numbers.length > 20 ? 4 : 1;
    const head = element(
      'div',
      { class: 'map-row', role: 'row' },
      element('div', { class: 'map-corner', role: 'columnheader' }, 'Layer'),
      ...numbers.map((number, i) =>
        element(
          'div',
          { class: 'map-number', role: 'columnheader' },
          element('span', { class: i % every === 0 ? undefined : 'sr-only' }, formatInteger(number)),
        ),
      ),
    );
    this.rows = kinds.map((kind) =>
      numbers.map((number) => {
        const layer = byPlace.get(`${kind} ${number}`);
        if (layer === undefined) return undefined;
        return { layer, element: element('div', { class: 'map-cell', role: 'gridcell', tabindex: '-1' }) };
      }),
    );
    this.grid.replaceChildren(
      head,
      ...kinds.map((kind, i) =>
        element(
          'div',
          { class: 'map-row', role: 'row' },
          element('div', { class: 'map-kind', role: 'rowheader' }, shortKind(kind)),
          ...(this.rows[i] ?? []).map((cell) => cell?.element ?? element('div', { role: 'gridcell' })),
        ),
      ),
    );
    if (this.cellAt(this.at.row, this.at.column) === undefined) this.at = this.firstPlace();
    const now = this.cellAt(this.at.row, this.at.column)?.element;
    if (now !== undefined) now.tabIndex = 0;
    if (hadFocus) now?.focus();
  }

  private firstPlace(): { row: number; column: number } {
    const row = this.rows.findIndex((cells) => cells.some((cell) => cell !== undefined));
    return { row, column: this.rows[row]?.findIndex((cell) => cell !== undefined) ?? 0 };
  }

  private cellAt(row: number, column: number): Cell | undefined {
    return this.rows[row]?.[column];
  }

  private placeOf(target: EventTarget | null): { row: number; column: number; cell: Cell } | undefined {
    for (const [row, cells] of this.rows.entries()) {
      for (const [column, cell] of cells.entries()) {
        if (cell !== undefined && cell.element === target) return { row, column, cell };
      }
    }
    return undefined;
  }

  private listen(): void {
    this.grid.addEventListener('click', (event) => {
      const place = this.placeOf(event.target);
      if (place !== undefined) this.onOpen(place.cell.layer.name);
    });
    this.grid.addEventListener('pointerover', (event) => this.showTip(this.placeOf(event.target)?.cell));
    this.grid.addEventListener('pointerleave', () => this.showTip(this.focused()));
    this.grid.addEventListener('focusin', (event) => {
      const place = this.placeOf(event.target);
      if (place === undefined) return;
      const before = this.cellAt(this.at.row, this.at.column)?.element;
      if (before !== undefined) before.tabIndex = -1;
      place.cell.element.tabIndex = 0;
      this.at = { row: place.row, column: place.column };
      this.showTip(place.cell);
    });
    this.grid.addEventListener('focusout', () => show(this.tip, false));
    this.grid.addEventListener('keydown', (event) => this.walk(event));
  }

  private focused(): Cell | undefined {
    return this.placeOf(document.activeElement)?.cell;
  }

  private walk(event: KeyboardEvent): void {
    if (event.altKey || event.metaKey) return;
    const { row, column } = this.at;
    if (event.key === 'Escape') {
      show(this.tip, false);
      return;
    }
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      const cell = this.cellAt(row, column);
      if (cell !== undefined) this.onOpen(cell.layer.name);
      return;
    }
    const [lastRow, lastColumn] = [this.rows.length - 1, (this.rows[0]?.length ?? 1) - 1];
    const moves: Record<string, [row: number, column: number]> = {
      ArrowLeft: [row, column - 1],
      ArrowRight: [row, column + 1],
      ArrowUp: [row - 1, column],
      ArrowDown: [row + 1, column],
      Home: [event.ctrlKey ? 0 : row, 0],
      End: [event.ctrlKey ? lastRow : row, lastColumn],
      PageUp: [0, column],
      PageDown: [lastRow, column],
    };
    const to = moves[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.cellAt(...to)?.element.focus();
  }

  private showTip(cell: Cell | undefined): void {
    show(this.tip, cell !== undefined && this.metric !== undefined);
    if (cell === undefined || this.metric === undefined) return;
    this.tip.replaceChildren(
      element('span', {}, shortName(cell.layer.name)),
      element('strong', {}, `${this.metric.label} ${metricText(this.metric, cell.layer)}`),
    );
    const [frame, place] = [this.element.getBoundingClientRect(), cell.element.getBoundingClientRect()];
    const most = frame.width - this.tip.offsetWidth;
    const left = place.left - frame.left + place.width / 2 - this.tip.offsetWidth / 2;
    this.tip.style.left = `${Math.max(0, Math.min(most, left))}px`;
    this.tip.style.top = `${place.bottom - frame.top + 6}px`;
  }
}
