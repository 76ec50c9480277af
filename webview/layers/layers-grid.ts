import { arrange, element, setAttribute } from '../page/element.ts';
import type { Sort } from '../page/host.ts';
import { type LayerColumn, sortLayers } from './layer-columns.ts';
import type { ShownLayer } from './layer-metrics.ts';
import { dataGrid, gridCell, gridRow, setGridTracks } from '../toolkit.ts';

/** A model of 80 layers has 560 rows of a dozen custom elements: they are made by so many at a time. */
const rowsAtOnce = 48;

interface HeadCell {
  column: LayerColumn;
  cell: HTMLElement;
}

/** The table itself. A click, Enter or Space on a column's head asks for another order. */
export class LayersGrid {
  readonly element: HTMLElement;
  private readonly grid = dataGrid('1-bit matrices');
  private columns: LayerColumn[] | undefined;
  private head: HeadCell[] = [];
  private headRow = gridRow(true);
  private rows = new Map<ShownLayer, HTMLElement>();
  private order: ShownLayer[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;

  /** `onOpen` hears of a click on a row, or Enter in it. */
  constructor(
    private readonly onSort: (column: string) => void,
    private readonly onOpen: (name: string) => void,
  ) {
    this.element = element('div', { class: 'layers-scroll' }, this.grid);
  }

  /** Shows these layers in this order. */
  show(columns: LayerColumn[], layers: ShownLayer[], sort: Sort | undefined): void {
    if (this.columns !== columns) {
      this.columns = columns;
      this.rows = new Map();
      this.makeHead(columns);
    }
    for (const { column, cell } of this.head) {
      const direction = sort?.column !== column.id ? 'none' : sort.descending ? 'descending' : 'ascending';
      setAttribute(cell, 'aria-sort', direction);
    }
    this.order = sortLayers(
      layers,
      this.head.map(({ column }) => column),
      sort,
    );
    this.place();
  }

  /** Puts the rows that there are in order, after making some of those that are missing. */
  private place(): void {
    clearTimeout(this.timer);
    const missing = this.order.filter((layer) => !this.rows.has(layer));
    for (const layer of missing.slice(0, rowsAtOnce)) this.rows.set(layer, this.makeRow(layer));
    const rows = this.order.map((layer) => this.rows.get(layer)).filter((row) => row !== undefined);
    arrange(this.grid, [this.headRow, ...rows]);
    if (missing.length > rowsAtOnce) this.timer = setTimeout(() => this.place(), 0);
  }

  private makeHead(columns: LayerColumn[]): void {
    setGridTracks(
      this.grid,
      columns.map((column) => column.track),
    );
    this.headRow = gridRow(true);
    this.head = columns.map((column, i) => {
      const cell = gridCell(i, true, column.label);
      cell.title = `${column.description}. Click to sort.`;
      cell.classList.toggle('number', column.numeric);
      cell.addEventListener('click', () => this.onSort(column.id));
      cell.addEventListener('keydown', (event) => {
        if (event.key !== 'Enter' && event.key !== ' ') return;
        event.preventDefault();
        this.onSort(column.id);
      });
      return { column, cell };
    });
    this.headRow.append(...this.head.map(({ cell }) => cell));
  }

  private makeRow(layer: ShownLayer): HTMLElement {
    const row = gridRow(false);
    row.append(
      ...this.head.map(({ column }, i) => {
        const cell = gridCell(i, false, column.text(layer));
        cell.classList.toggle('number', column.numeric);
        if (column.id === 'name') cell.title = layer.name;
        const change = column.change?.(layer);
        if (change !== undefined) {
          cell.title = `Change: ${change.text}`;
          cell.classList.toggle('changed', change.marked);
        }
        return cell;
      }),
    );
    row.addEventListener('click', () => this.onOpen(layer.name));
    row.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter') return;
      event.preventDefault();
      this.onOpen(layer.name);
    });
    return row;
  }
}
