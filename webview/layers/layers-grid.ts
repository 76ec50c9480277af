import { arrange, element, setAttribute, setText } from '../page/element.ts';
import type { Sort } from '../page/host.ts';
import { type LayerColumn, sortLayers } from './layer-columns.ts';
import type { ShownLayer } from './layer-metrics.ts';
import { dataGrid, gridCell, gridRow, setGridTracks } from '../toolkit.ts';

/** A model of 80 layers has 560 rows of two dozen custom elements: they are made by so many at a time. */
const cellsAtOnce = 800;

interface HeadCell {
  column: LayerColumn;
  cell: HTMLElement;
}

interface Row {
  element: HTMLElement;
  cells: HTMLElement[];
  layer: ShownLayer;
}

/** Names are not enough: they come from outside. */
const keyOf = ({ layer, projection, name }: ShownLayer) => JSON.stringify([layer, projection, name]);

/** The table itself. A click, Enter or Space on a column's head asks for another order. */
export class LayersGrid {
  readonly element: HTMLElement;
  private readonly grid = dataGrid('1-bit matrices');
  private columns: LayerColumn[] | undefined;
  private head: HeadCell[] = [];
  private headRow = gridRow(true);
  private readonly rows = new Map<string, Row>();
  private order: ShownLayer[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;

  /** `onOpen` hears of a click on a row, or Enter in it. */
  constructor(
    private readonly onSort: (column: string) => void,
    private readonly onOpen: (name: string) => void,
  ) {
    this.element = element('div', { class: 'layers-scroll' }, this.grid);
  }

  /** Shows these layers in this order. Where columns and rows are the same as before only their texts change. */
  show(columns: LayerColumn[], layers: ShownLayer[], sort: Sort | undefined): void {
    if (this.columns !== columns) {
      const same = columns.map(({ id }) => id).join() === this.columns?.map(({ id }) => id).join();
      this.columns = columns;
      if (!same) {
        this.rows.clear();
        this.makeHead(columns);
      }
      this.head = this.head.map(({ cell }, i) => ({ cell, column: columns[i] as LayerColumn }));
      this.writeHead();
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
    let room = Math.max(1, Math.floor(cellsAtOnce / Math.max(1, this.head.length)));
    const shown: HTMLElement[] = [];
    let missing = false;
    for (const layer of this.order) {
      const key = keyOf(layer);
      let row = this.rows.get(key);
      if (row === undefined) {
        if (room === 0) {
          missing = true;
          continue;
        }
        room--;
        row = this.makeRow(layer);
        this.rows.set(key, row);
      } else if (row.layer !== layer) this.write(row, layer);
      shown.push(row.element);
    }
    arrange(this.grid, [this.headRow, ...shown]);
    if (missing) this.timer = setTimeout(() => this.place(), 0);
  }

  private makeHead(columns: LayerColumn[]): void {
    setGridTracks(
      this.grid,
      columns.map((column) => column.track),
    );
    this.headRow = gridRow(true);
    this.head = columns.map((column, i) => {
      const cell = gridCell(i, true, '');
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

  private writeHead(): void {
    for (const { column, cell } of this.head) {
      setText(cell, column.label);
      setAttribute(cell, 'title', `${column.description}. Click to sort.`);
    }
  }

  private makeRow(layer: ShownLayer): Row {
    const cells = this.head.map(({ column }, i) => {
      const cell = gridCell(i, false, '');
      cell.classList.toggle('number', column.numeric);
      return cell;
    });
    const row: Row = { element: gridRow(false), cells, layer };
    row.element.append(...cells);
    this.write(row, layer);
    row.element.addEventListener('click', () => this.onOpen(row.layer.name));
    row.element.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter') return;
      event.preventDefault();
      this.onOpen(row.layer.name);
    });
    return row;
  }

  private write(row: Row, layer: ShownLayer): void {
    row.layer = layer;
    row.cells.forEach((cell, i) => {
      const column = this.head[i]?.column;
      if (column === undefined) return;
      setText(cell, column.text(layer));
      const change = column.change?.(layer);
      const title = column.id === 'name' ? layer.name : change && `Change: ${change.text}`;
      setAttribute(cell, 'title', title);
      cell.classList.toggle('changed', change?.marked === true);
    });
  }
}
