import type { InspectLayersResult, LayerStatistics } from '../server/protocol/inspect.ts';
import type { ModelSummary } from '../server/protocol/model.ts';
import { arrange, element, setAttribute, setText, show } from './element.ts';
import { baseName, formatInteger } from './format.ts';
import type { Host } from './host.ts';
import {
  type LayerColumn,
  layerColumns,
  layersSummary,
  nextSort,
  projections,
  sortLayers,
} from './layer-columns.ts';
import type { PanelState } from './panel-state.ts';
import { notice, section } from './section.ts';
import { button, dataGrid, dropdown, gridCell, gridRow, progressRing, setGridTracks } from './toolkit.ts';

const everyKind = 'all';

/** A table of the 1-bit matrices: balance of signs, statistics of g and h, error against a teacher. */
export class LayersView {
  readonly element: HTMLElement;
  private readonly models = dropdown('Model whose layers are shown', (id) => this.inspect(id));
  private readonly read = button(
    'Read Again',
    () => this.inspect(this.model()?.id, this.host.ui.inspect?.teacher),
    {
      description: 'Read the layers again',
    },
  );
  private readonly compare = button('Compare with Teacher…', () => {
    const model = this.model();
    if (model !== undefined) this.host.post({ type: 'chooseTeacher', model: model.id });
  });
  private readonly notice = notice(progressRing);
  private readonly summary = element('p', { class: 'layers-summary' });
  private readonly teacher = element('p', { class: 'note' });
  private readonly kinds = dropdown('Kind of matrix', (value) => {
    this.host.keep({ projection: value === everyKind ? undefined : value });
    this.changed();
  });
  private readonly kindsLabel = element('div', { class: 'layers-filter' }, this.kinds.element);
  private readonly grid = dataGrid('1-bit matrices');
  private readonly scroller = element('div', { class: 'layers-scroll' }, this.grid);
  private header: { column: LayerColumn; cell: HTMLElement; arrow: HTMLElement }[] = [];
  private headerRow: HTMLElement | undefined;
  private rows = new Map<LayerStatistics, HTMLElement>();
  private shown: InspectLayersResult | undefined;
  private state: PanelState | undefined;

  constructor(
    private readonly host: Host,
    private readonly changed: () => void,
  ) {
    const made = section('Layers', 'layers');
    this.element = made.element;
    made.tools.append(this.models.element, this.compare, this.read);
    made.body.append(
      this.notice.element,
      element(
        'div',
        { class: 'layers-head' },
        element('div', {}, this.summary, this.teacher),
        this.kindsLabel,
      ),
      this.scroller,
    );
  }

  update(state: PanelState): void {
    this.state = state;
    const models = state.models.filter((model) => model.kind !== 'full');
    const model = this.model();
    const result = state.layers;
    const showTable =
      result !== undefined && state.inspecting === undefined && state.layersError === undefined;
    this.models.set(
      models.map(({ id, name, path }) => ({ value: id, label: name, description: path })),
      model?.id ?? '',
    );
    show(this.models.element, models.length > 1);
    show(this.compare, showTable);
    show(this.read, showTable);
    this.showNotice(state, model);
    for (const part of [this.summary, this.scroller, this.kindsLabel]) show(part, showTable);
    show(this.teacher, showTable && result.teacher !== undefined);
    if (!showTable) return;
    setText(this.teacher, result.teacher === undefined ? '' : `Compared with ${baseName(result.teacher)}`);
    setAttribute(this.teacher, 'title', result.teacher);
    this.showTable(result);
  }

  /** The model that the view is about: the one asked for, the one in memory, the first. */
  private model(): ModelSummary | undefined {
    const state = this.state;
    const models = state?.models.filter((model) => model.kind !== 'full') ?? [];
    const byId = (id: string | undefined) => models.find((model) => model.id === id || model.path === id);
    return (
      byId(state?.inspecting?.model) ??
      byId(state?.layers?.model) ??
      byId(this.host.ui.inspect?.model) ??
      byId(state?.memory?.model.model?.id) ??
      models[0]
    );
  }

  private inspect(model: string | undefined, teacher?: string): void {
    if (model === undefined) return;
    this.host.keep({ inspect: { model, teacher } });
    this.host.post({ type: 'inspect', model, teacher });
  }

  private showNotice(state: PanelState, model: ModelSummary | undefined): void {
    const { inspecting } = state;
    if (inspecting !== undefined) {
      const { progress } = inspecting;
      const count =
        progress === undefined || progress.total <= 0
          ? ''
          : `${formatInteger(progress.done)} of ${formatInteger(progress.total)} ${progress.unit}`;
      this.notice.set({
        key: 'inspecting',
        title: `Reading the layers of ${model?.name ?? baseName(inspecting.model)}…`,
        text: count,
        busy: true,
        actions: () => [button('Cancel', () => this.host.post({ type: 'cancelInspect' }))],
      });
    } else if (state.layersError !== undefined) {
      this.notice.set({
        key: `error ${model?.id ?? ''}`,
        title: 'The layers could not be read',
        text: state.layersError,
        tone: 'error',
        actions: () => [
          button('Try Again', () => this.inspect(model?.id, this.host.ui.inspect?.teacher), {
            primary: true,
          }),
          button('Show Log', () => this.host.post({ type: 'showLog' })),
        ],
      });
    } else if (state.layers !== undefined) {
      this.notice.set(undefined);
    } else if (model === undefined) {
      this.notice.set({
        key: 'no model',
        title: 'No 1-bit model is known',
        text: 'Choose one, or quantize a checkpoint to get one.',
        actions: () => [button('Choose Model…', () => this.host.post({ type: 'chooseModel' }))],
      });
    } else {
      this.notice.set({
        key: `ask ${model.id}`,
        title: `Look into ${model.name}`,
        text: 'Balance of the signs and statistics of g and h for every 1-bit matrix; with a teacher also what the 1-bit form loses.',
        actions: () => [
          button('Read Layers', () => this.inspect(model.id), { primary: true }),
          button('Compare with Teacher…', () => this.host.post({ type: 'chooseTeacher', model: model.id })),
        ],
      });
    }
  }

  private showTable(result: InspectLayersResult): void {
    if (this.shown !== result) {
      this.shown = result;
      this.build(result);
    }
    const kinds = projections(result.layers);
    const chosen = kinds.includes(this.host.ui.projection ?? '') ? this.host.ui.projection : undefined;
    this.kinds.set(
      [{ value: everyKind, label: 'All matrices' }, ...kinds.map((kind) => ({ value: kind, label: kind }))],
      chosen ?? everyKind,
    );
    const layers = result.layers.filter((layer) => chosen === undefined || layer.projection === chosen);
    setText(this.summary, layersSummary(layers));
    const { sort } = this.host.ui;
    for (const { column, cell, arrow } of this.header) {
      const sorted = sort?.column === column.id;
      setAttribute(cell, 'aria-sort', sorted ? (sort.descending ? 'descending' : 'ascending') : 'none');
      setText(arrow, sorted ? (sort.descending ? '▼' : '▲') : '');
    }
    const columns = this.header.map(({ column }) => column);
    const rows = sortLayers(layers, columns, sort).map((layer) => this.rows.get(layer));
    arrange(
      this.grid,
      [this.headerRow, ...rows].filter((row) => row !== undefined),
    );
  }

  private build(result: InspectLayersResult): void {
    const columns = layerColumns(result);
    setGridTracks(
      this.grid,
      columns.map((column) => ({
        ...column,
        align: column.numeric ? 'end' : 'start',
        track:
          column.id === 'name'
            ? 'minmax(210px, 2fr)'
            : column.id === 'shape'
              ? 'minmax(118px, 1fr)'
              : 'minmax(92px, 1fr)',
      })),
    );
    this.headerRow = gridRow(true);
    this.header = columns.map((column, i) => {
      const cell = gridCell(i, true, column.label);
      const arrow = element('span', { class: 'sort-arrow', 'aria-hidden': 'true' });
      cell.append(arrow);
      cell.title = `${column.description}. Click to sort.`;
      cell.classList.toggle('number', column.numeric);
      const sort = () => {
        this.host.keep({ sort: nextSort(this.host.ui.sort, column.id) });
        this.changed();
      };
      cell.addEventListener('click', sort);
      cell.addEventListener('keydown', (event) => {
        if (event.key !== 'Enter' && event.key !== ' ') return;
        event.preventDefault();
        sort();
      });
      return { column, cell, arrow };
    });
    this.headerRow.append(...this.header.map(({ cell }) => cell));
    this.rows = new Map(
      result.layers.map((layer) => {
        const row = gridRow(false);
        row.append(
          ...columns.map((column, i) => {
            const cell = gridCell(i, false, column.text(layer));
            cell.classList.toggle('number', column.numeric);
            if (column.id === 'name') cell.title = layer.name;
            return cell;
          }),
        );
        return [layer, row];
      }),
    );
  }
}
