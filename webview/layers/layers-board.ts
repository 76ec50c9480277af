import type { InspectActivationsResult, InspectLayersResult } from '../../server/protocol/inspect.ts';
import { layersCsv } from '../../server/protocol/layers-csv.ts';
import { element, setAttribute, setText, show } from '../page/element.ts';
import { baseName } from '../page/format.ts';
import type { Host } from '../page/host.ts';
import type { PanelState } from '../page/panel-state.ts';
import { dropdown } from '../toolkit.ts';
import { ActivationsView } from './activations-view.ts';
import type { Asks } from './asks.ts';
import { CheckpointBar, checkpointName } from './checkpoint-bar.ts';
import { type ColourScale, colourScale } from './colour-scale.ts';
import { type Choice, Comparison } from './comparison.ts';
import { drawingColours, exportButtons, type Exports } from './exports.ts';
import { layersSummary, nextSort, projections } from './layer-columns.ts';
import { LayerMap } from './layer-map.ts';
import { type LayerMetric, mapMetric, type ShownLayer } from './layer-metrics.ts';
import { mapDrawing } from './layer-drawings.ts';
import { LayersGrid } from './layers-grid.ts';
import { MatrixView } from './matrix-view.ts';
import { recurringTable } from './outliers.ts';
import { type ShownLayers, shownLayers } from './shown-layers.ts';

const everyKind = 'all';

/** The layers that have been read: along the training run, as maps, as a table, and one matrix of them. */
export class LayersBoard {
  readonly element: HTMLElement;
  /** The view of one matrix, a section of its own. */
  readonly matrix: MatrixView;
  private readonly summary = element('p', { class: 'layers-summary' });
  private readonly teacher = element('p', { class: 'note' });
  private readonly comparison: Comparison;
  private readonly bar: CheckpointBar;
  private readonly metrics = dropdown('What the map is coloured by', (metric) =>
    this.choose({ mapMetric: metric }),
  );
  private readonly metricText = element('p', { class: 'note' });
  private readonly map = new LayerMap((name) => this.open(name));
  private readonly beside = new LayerMap((name) => this.open(name));
  private readonly kinds = dropdown('Kind of matrix', (value) =>
    this.choose({ projection: value === everyKind ? undefined : value }),
  );
  private readonly grid = new LayersGrid(
    (column) => this.choose({ sort: nextSort(this.host.ui.sort, column) }),
    (name) => this.open(name),
  );
  private readonly recurring = element('div', { class: 'layers-recurring' });
  private base: InspectLayersResult | undefined;
  private chosenBefore: PanelState['otherChosen'];
  private shown: ShownLayers | undefined;
  private readonly activations: ActivationsView;
  private shownActivations: InspectActivationsResult | undefined;
  private mapped: { shown: ShownLayers; key: string } | undefined;
  private drawn:
    { maps: { title: string; layers: ShownLayer[] }[]; metric: LayerMetric; scale: ColourScale } | undefined;
  private listed: { shown: ShownLayers; key: string } | undefined;

  constructor(
    private readonly host: Host,
    asks: Asks,
    private readonly changed: () => void,
  ) {
    this.comparison = new Comparison(asks, changed);
    this.activations = new ActivationsView(host, asks, () =>
      this.choose({ mapMetric: this.base?.teacher === undefined ? 'outputRms' : 'teacherError' }),
    );
    this.matrix = new MatrixView(asks, host, () => this.open(undefined));
    this.bar = new CheckpointBar({
      onAt: (at) => this.compare({ ...this.choice(), at }),
      onOther: (other) => this.compare({ ...this.choice(), other }),
      onChooseFolder: () => {
        if (this.base !== undefined) this.host.post({ type: 'chooseOther', model: this.base.model });
        // Until a folder is chosen the list says what is compared with now.
        this.changed();
      },
      onDifferences: (differences) => this.choose({ differences }),
    });
    this.element = element(
      'div',
      {},
      this.summary,
      this.teacher,
      this.bar.element,
      element(
        'div',
        { class: 'layers-tools' },
        this.metrics.element,
        this.metricText,
        exportButtons(host, 'the map', ['png', 'svg'], () => this.mapExports()),
      ),
      element('div', { class: 'maps' }, this.map.element, this.beside.element),
      element(
        'div',
        { class: 'layers-tools' },
        this.kinds.element,
        exportButtons(host, 'the table', ['csv', 'json'], () => this.tableExports()),
      ),
      this.grid.element,
      this.recurring,
      this.activations.element,
    );
  }

  /** The layers of a model as the server read them; nothing while there are none to be seen. */
  update(state: PanelState, base: InspectLayersResult | undefined): void {
    show(this.element, base !== undefined);
    this.base = base;
    if (base === undefined) {
      this.matrix.update(undefined, undefined);
      return;
    }
    this.takeChosen(state, base);
    const choice = this.choice();
    const compared = this.comparison.get(base, choice);
    const differences = this.host.ui.differences ?? false;
    // A checkpoint of the run has no tokenizer: a text goes through the model itself.
    const activations = compared.result.model === base.model ? this.activations.result(base) : undefined;
    const before = this.shown;
    if (
      this.shownActivations !== activations ||
      before?.result !== compared.result ||
      before.before !== compared.before ||
      (compared.before !== undefined && before.differences !== differences)
    ) {
      this.shown = shownLayers(compared, differences, activations);
      this.shownActivations = activations;
    }
    this.bar.update(this.comparison, { model: base.model, models: state.models }, choice, differences);
    setText(this.teacher, base.teacher === undefined ? '' : `Compared with ${baseName(base.teacher)}`);
    setAttribute(this.teacher, 'title', base.teacher);
    show(this.teacher, base.teacher !== undefined);
    if (this.shown === undefined) return;
    this.showMaps(this.shown);
    this.showTable(this.shown);
    this.matrix.update(this.shown.result, this.host.ui.matrix);
  }

  /** What was chosen in the window's dialog goes into the state that is kept, once. */
  private takeChosen({ otherChosen }: PanelState, { model }: InspectLayersResult): void {
    if (otherChosen === this.chosenBefore) return;
    this.chosenBefore = otherChosen;
    if (otherChosen?.model !== model) return;
    this.host.keep({ compare: { ...this.choice(), model, other: otherChosen.path } });
  }

  /** What the user chose for this model; nothing of what they chose for another. */
  private choice(): Choice {
    const { compare } = this.host.ui;
    if (compare === undefined || compare.model !== this.base?.model) return {};
    return { at: compare.at, other: compare.other };
  }

  private compare(choice: Choice): void {
    if (this.base !== undefined) this.choose({ compare: { ...choice, model: this.base.model } });
  }

  private choose(change: Parameters<Host['keep']>[0]): void {
    this.host.keep(change);
    this.changed();
  }

  /** Opens the view of a matrix, or closes it. */
  private open(name: string | undefined): void {
    this.choose({ matrix: name });
    // After it has been drawn.
    if (name !== undefined) requestAnimationFrame(() => this.matrix.focus());
  }

  private showMaps(shown: ShownLayers): void {
    const { result, before, differences, metrics } = shown;
    const metric = mapMetric(metrics, this.host.ui.mapMetric);
    if (metric === undefined) return;
    this.metrics.set(
      metrics.map(({ id, label, description }) => ({ value: id, label, description })),
      metric.id,
    );
    const key = `${metric.id} ${this.host.ui.matrix ?? ''}`;
    if (this.mapped?.shown === shown && this.mapped.key === key) return;
    this.mapped = { shown, key };
    const logarithmic = metric.logarithmic === true && metric.middle === undefined;
    setText(this.metricText, `${metric.description}.${logarithmic ? ' Colours on a log scale.' : ''}`);
    // One scale along the run, so that colours can be compared from one checkpoint to the next.
    const seen = differences ? [] : [...this.comparison.seen()];
    const scale = colourScale(
      [shown, ...seen].flatMap(({ layers }) => layers.map(metric.key)),
      metric,
    );
    const beside =
      before !== undefined && !differences && before.layers.some((layer) => metric.key(layer) !== undefined);
    const { matrix } = this.host.ui;
    const maps = [
      { title: checkpointName(result.model), layers: shown.layers },
      ...(beside ? [{ title: checkpointName(before.model), layers: before.layers }] : []),
    ];
    this.drawn = { maps, metric, scale };
    const [first, second] = maps;
    if (first !== undefined) {
      const title = second === undefined ? undefined : first.title;
      this.map.show(first.layers, metric, scale, { open: matrix, title });
    }
    show(this.beside.element, second !== undefined);
    if (second !== undefined) {
      this.beside.show(second.layers, metric, scale, { open: matrix, title: second.title });
    }
  }

  private mapExports(): Exports | undefined {
    if (this.drawn === undefined || this.shown === undefined) return undefined;
    const { maps, metric, scale } = this.drawn;
    return {
      name: `${checkpointName(this.shown.result.model)}-map-${metric.id}`,
      drawing: () => mapDrawing(maps, metric, scale, drawingColours()),
    };
  }

  /** All matrices and all numbers at full precision, whatever of them the table shows. */
  private tableExports(): Exports | undefined {
    const { result } = this.shown ?? {};
    return (
      result && {
        name: `${checkpointName(result.model)}-layers`,
        csv: () => layersCsv(result),
        json: () => result,
      }
    );
  }

  private showTable(shown: ShownLayers): void {
    const { result, columns } = shown;
    const kinds = projections(shown.layers);
    const chosen = kinds.includes(this.host.ui.projection ?? '') ? this.host.ui.projection : undefined;
    this.kinds.set(
      [{ value: everyKind, label: 'All matrices' }, ...kinds.map((kind) => ({ value: kind, label: kind }))],
      chosen ?? everyKind,
    );
    const { sort } = this.host.ui;
    const key = JSON.stringify([chosen, sort]);
    // Jobs and memory change several times a second; the table does not.
    if (this.listed?.shown === shown && this.listed.key === key) return;
    if (this.listed?.shown !== shown) {
      const recurring = recurringTable(result);
      this.recurring.replaceChildren(...(recurring === undefined ? [] : [recurring]));
    }
    this.listed = { shown, key };
    const layers = shown.layers.filter((layer) => chosen === undefined || layer.projection === chosen);
    setText(this.summary, layersSummary(layers));
    this.grid.show(columns, layers, sort);
  }
}
