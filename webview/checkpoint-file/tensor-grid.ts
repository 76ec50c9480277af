import type { CheckpointTensors, TensorColumn, TensorRow } from '../../server/protocol/checkpoint-file.ts';
import type { TensorQuery } from '../../server/protocol/checkpoint-file-page.ts';
import { element, setAttribute, setText, show } from '../page/element.ts';
import { formatBytes, formatInteger } from '../page/format.ts';
import { pageRows, RowPages } from './row-pages.ts';
import { rowWindow, scrollTopOf } from './row-window.ts';

const rowHeight = 26;
const columns: { id: Exclude<TensorColumn, 'position'>; label: string }[] = [
  { id: 'name', label: 'Tensor' },
  { id: 'shape', label: 'Shape' },
  { id: 'type', label: 'Type' },
  { id: 'bytes', label: 'Size' },
];

export interface GridActions {
  ask(query: TensorQuery, from: number, count: number): void;
  sort(column: TensorColumn): void;
  choose(row: TensorRow): void;
  /** Enter, or two clicks. */
  open(row: TensorRow): void;
  scrolled(row: number): void;
}

/**
 * The tensors as a grid (the WAI-ARIA pattern with one tab stop). Only rows in view are in the document, and only pages
 * around them are asked for, however many tensors a file claims.
 */
export class TensorGrid {
  readonly element: HTMLElement;
  private readonly head = element('div', {
    role: 'row',
    class: 'tensor-row tensor-head',
    'aria-rowindex': '1',
  });
  private readonly body = element('div', { role: 'rowgroup', class: 'tensor-body' });
  private readonly grid: HTMLElement;
  private readonly nothing = element('p', { class: 'tensor-nothing note' });
  private pages = new RowPages();
  private query: TensorQuery;
  private active = 0;
  private frame = 0;

  /** @param first row that is to be seen first */
  constructor(
    query: TensorQuery,
    private first: number,
    private readonly actions: GridActions,
  ) {
    this.query = query;
    this.head.append(...columns.map(({ id, label }) => this.headCell(id, label)));
    this.grid = element(
      'div',
      { role: 'grid', class: 'tensor-grid', tabindex: '0', 'aria-label': 'Tensors', 'aria-readonly': 'true' },
      element('div', { role: 'rowgroup', class: 'tensor-heads' }, this.head),
      this.body,
    );
    this.element = element('div', { class: 'tensor-list' }, this.grid, this.nothing);
    this.grid.addEventListener('scroll', () => this.schedule());
    this.grid.addEventListener('keydown', (event) => this.walk(event));
    for (const name of ['click', 'dblclick'] as const) {
      this.body.addEventListener(name, (event) => this.point(event, name === 'dblclick'));
    }
    new ResizeObserver(() => this.schedule()).observe(this.grid);
    this.mark();
  }

  /** Another search or order: begins at the top, unless it is the first. */
  show(query: TensorQuery, first = 0): void {
    this.query = query;
    this.pages = new RowPages();
    this.first = first;
    this.active = first;
    this.mark();
    this.askFor(first, 1);
  }

  add(query: TensorQuery, tensors: CheckpointTensors): void {
    if (JSON.stringify(query) !== JSON.stringify(this.query)) return;
    const begins = this.pages.total === undefined;
    this.pages.add(tensors);
    setAttribute(this.grid, 'aria-rowcount', String(tensors.total + 1));
    setText(this.nothing, `No tensor has “${query.search}” in its name, type or shape.`);
    show(this.nothing, tensors.total === 0);
    if (begins) {
      this.active = Math.min(this.active, Math.max(0, tensors.total - 1));
      this.setHeight();
      this.grid.scrollTop = scrollTopOf(this.first, tensors.total, rowHeight, this.view);
    }
    this.schedule();
  }

  private get view(): number {
    return Math.max(rowHeight, this.grid.clientHeight - rowHeight);
  }

  private get total(): number {
    return this.pages.total ?? 0;
  }

  private headCell(id: TensorColumn, label: string): HTMLElement {
    const button = element('button', { type: 'button', class: 'tensor-sort', tabindex: '-1' }, label);
    button.addEventListener('click', () => this.actions.sort(id));
    return element(
      'div',
      { role: 'columnheader', class: `tensor-cell tensor-${id}`, 'data-column': id },
      button,
    );
  }

  private mark(): void {
    const { sort, descending } = this.query;
    for (const cell of this.head.children) {
      const sorted = cell.getAttribute('data-column') === sort;
      setAttribute(cell, 'aria-sort', sorted ? (descending ? 'descending' : 'ascending') : undefined);
    }
  }

  private askFor(first: number, count: number): void {
    for (const from of this.pages.missing(first, count)) this.actions.ask(this.query, from, pageRows);
  }

  private schedule(): void {
    if (this.frame !== 0) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  private setHeight(): void {
    this.body.style.height = `${rowWindow(this.total, rowHeight, this.view, 0).height}px`;
  }

  private draw(): void {
    const { total, view } = this;
    if (this.pages.total === undefined) return;
    this.setHeight();
    const { first, hidden } = rowWindow(total, rowHeight, view, this.grid.scrollTop);
    const count = Math.min(total - first, Math.ceil(view / rowHeight) + 1);
    this.askFor(first, count);
    const before = new Map([...this.body.children].map((row) => [row.id, row]));
    const rows = Array.from({ length: count }, (_, i) => {
      const index = first + i;
      const tensor = this.pages.row(index);
      const known = before.get(`row-${index}`);
      const row = known !== undefined && drawnOf.get(known) === tensor ? known : makeRow(index, tensor);
      (row as HTMLElement).style.top = `${this.grid.scrollTop - hidden + i * rowHeight}px`;
      setAttribute(row, 'aria-selected', index === this.active ? 'true' : 'false');
      return row;
    });
    this.body.replaceChildren(...rows);
    const seen = this.active >= first && this.active < first + count;
    setAttribute(this.grid, 'aria-activedescendant', seen ? `row-${this.active}` : undefined);
    if (first !== this.first) this.actions.scrolled(first);
    this.first = first;
  }

  private walk(event: KeyboardEvent): void {
    if (event.target !== this.grid || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.view / rowHeight) - 1);
    const to: Record<string, number> = {
      ArrowDown: this.active + 1,
      ArrowUp: this.active - 1,
      PageDown: this.active + page,
      PageUp: this.active - page,
      Home: 0,
      End: this.total - 1,
    };
    const target = to[event.key];
    const tensor = this.pages.row(this.active);
    if (target !== undefined) this.goTo(Math.min(Math.max(0, target), Math.max(0, this.total - 1)));
    else if (event.key === 'Enter' && tensor !== undefined) this.actions.open(tensor);
    else return;
    event.preventDefault();
  }

  private goTo(index: number): void {
    this.active = index;
    const { first, hidden } = rowWindow(this.total, rowHeight, this.view, this.grid.scrollTop);
    const last = first + Math.floor((this.view + hidden) / rowHeight) - 1;
    const wholeFirst = hidden > 0 ? first + 1 : first;
    const rows = Math.max(1, Math.floor(this.view / rowHeight));
    if (index < wholeFirst) this.scrollTo(index);
    else if (index > last) this.scrollTo(Math.max(0, index - rows + 1));
    const tensor = this.pages.row(index);
    if (tensor !== undefined) this.actions.choose(tensor);
    this.schedule();
  }

  private scrollTo(row: number): void {
    this.grid.scrollTop = Math.ceil(scrollTopOf(row, this.total, rowHeight, this.view));
  }

  private point(event: MouseEvent, twice: boolean): void {
    const row = (event.target as Element).closest('.tensor-row');
    const index = Number(row?.id.replace('row-', ''));
    const tensor = this.pages.row(index);
    if (row === null || tensor === undefined) return;
    this.active = index;
    if (twice) this.actions.open(tensor);
    else this.actions.choose(tensor);
    this.schedule();
  }
}

/** What a row was drawn from. */
const drawnOf = new WeakMap<Element, TensorRow | undefined>();

function makeRow(index: number, tensor: TensorRow | undefined): HTMLElement {
  const cells = tensor === undefined ? ['…', '', '', ''] : cellTexts(tensor);
  const row = element(
    'div',
    { role: 'row', class: 'tensor-row', id: `row-${index}`, 'aria-rowindex': String(index + 2) },
    ...columns.map(({ id }, i) =>
      element(
        'div',
        { role: 'gridcell', class: `tensor-cell tensor-${id}`, title: cells[i]?.slice(0, 1000) },
        ...(id === 'name' ? nameParts(cells[0] ?? '') : [cells[i] ?? '']),
      ),
    ),
  );
  drawnOf.set(row, tensor);
  return row;
}

function cellTexts({ name, shape, type, bytes }: TensorRow): string[] {
  return [name, shapeText(shape), type, formatBytes(bytes)];
}

/** `4,096 × 11,008`; a single number has no dimensions. */
export function shapeText(shape: readonly number[]): string {
  return shape.length === 0 ? 'scalar' : shape.map(formatInteger).join(' × ');
}

/** The end of a name says most: where there is no room, the beginning gives way. */
function nameParts(name: string): HTMLElement[] {
  const shown = name.length > 500 ? `${name.slice(0, 250)}…${name.slice(-250)}` : name;
  const at = shown.split('.').slice(0, -2).join('.').length;
  return [
    element('span', { class: 'tensor-name-start' }, shown.slice(0, at)),
    element('span', { class: 'tensor-name-end' }, shown.slice(at)),
  ];
}
