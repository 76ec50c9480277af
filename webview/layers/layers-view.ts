import type { InspectLayersResult } from '../../server/protocol/inspect.ts';
import type { ModelSummary } from '../../server/protocol/model.ts';
import { element, setAttribute, setText, show } from '../page/element.ts';
import { baseName, formatInteger } from '../page/format.ts';
import type { Host } from '../page/host.ts';
import { Asks } from './asks.ts';
import { colourScale } from './colour-scale.ts';
import { layersSummary, nextSort, projections } from './layer-columns.ts';
import { LayerMap } from './layer-map.ts';
import { layerMetrics, mapMetric } from './layer-metrics.ts';
import { LayersGrid } from './layers-grid.ts';
import { MatrixView } from './matrix-view.ts';
import { recurringTable } from './outliers.ts';
import type { PanelState } from '../page/panel-state.ts';
import { notice, section } from '../page/section.ts';
import { button, dropdown, progressRing } from '../toolkit.ts';

const everyKind = 'all';

/** The 1-bit matrices as a map and as a table: balance of signs, g and h, what was lost against a teacher. */
export class LayersView {
  readonly element: HTMLElement;
  private readonly models = dropdown('Model whose layers are shown', (id) => this.inspect(id));
  private readonly read = button(
    'Read Again',
    () => this.inspect(this.model()?.id, this.host.ui.inspect?.teacher),
    {
      description: 'Read Again: the layers of the model',
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
  private readonly metrics = dropdown('What the map is coloured by', (metric) => {
    this.host.keep({ mapMetric: metric });
    this.changed();
  });
  private readonly metricText = element('p', { class: 'note' });
  private readonly map = new LayerMap((name) => this.open(name));
  private readonly mapPart = element(
    'div',
    {},
    element('div', { class: 'layers-tools' }, this.metrics.element, this.metricText),
    this.map.element,
  );
  private readonly kindsLabel = element('div', { class: 'layers-tools' }, this.kinds.element);
  private readonly grid = new LayersGrid(
    (column) => {
      this.host.keep({ sort: nextSort(this.host.ui.sort, column) });
      this.changed();
    },
    (name) => this.open(name),
  );
  private readonly recurring = element('div', { class: 'layers-recurring' });
  private readonly matrix: MatrixView;
  private shown: { result: InspectLayersResult; key: string } | undefined;
  private mapped: { result: InspectLayersResult; key: string } | undefined;
  private state: PanelState | undefined;
  private askedAgain = false;

  constructor(
    private readonly host: Host,
    private readonly changed: () => void,
  ) {
    const made = section('Layers', 'layers');
    this.matrix = new MatrixView(new Asks(host), host, () => this.open(undefined));
    this.element = element('div', {}, made.element, this.matrix.element);
    made.tools.append(this.models.element, this.compare, this.read);
    made.body.append(
      this.notice.element,
      this.summary,
      this.teacher,
      this.mapPart,
      this.kindsLabel,
      this.grid.element,
      this.recurring,
    );
  }

  update(state: PanelState): void {
    this.state = state;
    this.askAgain(state);
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
    for (const part of [this.summary, this.mapPart, this.kindsLabel, this.grid.element])
      show(part, showTable);
    show(this.teacher, showTable && result.teacher !== undefined);
    this.matrix.update(showTable ? result : undefined, this.host.ui.matrix);
    if (!showTable) return;
    setText(this.teacher, result.teacher === undefined ? '' : `Compared with ${baseName(result.teacher)}`);
    setAttribute(this.teacher, 'title', result.teacher);
    this.showMap(result);
    this.showTable(result);
  }

  private showMap(result: InspectLayersResult): void {
    const metrics = layerMetrics(result.layers);
    const metric = mapMetric(metrics, this.host.ui.mapMetric);
    if (metric === undefined) return;
    this.metrics.set(
      metrics.map(({ id, label, description }) => ({ value: id, label, description })),
      metric.id,
    );
    const key = `${metric.id} ${this.host.ui.matrix ?? ''}`;
    if (this.mapped?.result === result && this.mapped.key === key) return;
    this.mapped = { result, key };
    setText(this.metricText, `${metric.description}.`);
    const scale = colourScale(result.layers.map(metric.key), metric.middle);
    this.map.show(result.layers, metric, scale, this.host.ui.matrix);
  }

  /** Opens the view of a matrix, or closes it. */
  private open(name: string | undefined): void {
    this.host.keep({ matrix: name });
    this.changed();
    // After it has been drawn.
    if (name !== undefined) requestAnimationFrame(() => this.matrix.focus());
  }

  /** After a reload of the window the extension has forgotten the layers that were on show: ask for them. */
  private askAgain(state: PanelState): void {
    const asked = this.host.ui.inspect;
    if (this.askedAgain || asked === undefined) return;
    this.askedAgain = true;
    const { layers, layersError, inspecting } = state;
    if (layers === undefined && layersError === undefined && inspecting === undefined) {
      this.host.post({ type: 'inspect', ...asked });
    }
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
    this.askedAgain = true;
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
    const kinds = projections(result.layers);
    const chosen = kinds.includes(this.host.ui.projection ?? '') ? this.host.ui.projection : undefined;
    this.kinds.set(
      [{ value: everyKind, label: 'All matrices' }, ...kinds.map((kind) => ({ value: kind, label: kind }))],
      chosen ?? everyKind,
    );
    const { sort } = this.host.ui;
    if (this.shown?.result !== result) {
      const recurring = recurringTable(result);
      this.recurring.replaceChildren(...(recurring === undefined ? [] : [recurring]));
    }
    const key = JSON.stringify([chosen, sort]);
    // Jobs and memory change several times a second; the table does not.
    if (this.shown?.result === result && this.shown.key === key) return;
    this.shown = { result, key };
    const layers = result.layers.filter((layer) => chosen === undefined || layer.projection === chosen);
    setText(this.summary, layersSummary(layers));
    this.grid.show(result, layers, sort);
  }
}
