import type {
  InspectLayersResult,
  InspectMatrixResult,
  LayerStatistics,
} from '../../server/protocol/inspect.ts';
import { matrixCsv } from '../../server/protocol/matrix-csv.ts';
import { element, setText, show } from '../page/element.ts';
import { formatInteger } from '../page/format.ts';
import type { Host } from '../page/host.ts';
import { checkbox } from '../toolkit.ts';
import { drawingColours, exportButtons, type Exports } from './exports.ts';
import { shortName } from './layer-columns.ts';
import { chartsDrawing } from './layer-drawings.ts';
import { layerMetrics } from './layer-metrics.ts';
import { chartTitles, type MatrixCharts, matrixCharts, spectrumChart } from './matrix-charts.ts';
import { extremesTable, outliersTable } from './outliers.ts';
import { ValueChart } from './value-chart.ts';

const chartNames: (keyof MatrixCharts)[] = [
  ...(['g', 'h', 'gDistribution', 'hDistribution', 'columnPositive', 'rowPositive'] as const),
];

/** What is known of one matrix beside its picture: figures, profiles, distributions, extremes, the teacher's spectrum. */
export class MatrixValues {
  readonly element: HTMLElement;
  private readonly figures = element('dl', { class: 'matrix-figures' });
  private readonly charts = new Map(chartNames.map((name) => [name, new ValueChart()]));
  private readonly spectrumChart = new ValueChart();
  private readonly spectrumError = element('p', { class: 'note' });
  private readonly tables = element('div', { class: 'matrix-tables' });
  private readonly logarithmic = checkbox('Distributions on log scale', (checked) => {
    this.host.keep({ logValues: checked });
    this.draw();
  });
  private matrix: InspectMatrixResult | undefined;
  /** With what is known of it against the teacher and another checkpoint. */
  private layer: LayerStatistics | undefined;
  private spectrum: number[] | undefined;
  private other: InspectMatrixResult | undefined;

  constructor(private readonly host: Host) {
    this.element = element(
      'div',
      {},
      this.figures,
      element(
        'div',
        { class: 'layers-tools' },
        this.logarithmic.element,
        exportButtons(host, 'the values of the matrix', ['csv', 'json', 'png', 'svg'], () => this.exports()),
      ),
      element('div', { class: 'charts' }, ...[...this.charts.values()].map((chart) => chart.element)),
      this.spectrumChart.element,
      this.spectrumError,
      this.tables,
    );
  }

  /** A matrix of which only the statistics are known yet; the places of the rest are kept. */
  begin(layer: LayerStatistics, teacher: boolean): void {
    this.layer = layer;
    this.matrix = undefined;
    this.other = undefined;
    this.showFigures(layer);
    this.tables.replaceChildren();
    show(this.spectrumChart.element, teacher);
    show(this.spectrumError, false);
    this.spectrumChart.show(spectrumTitle, undefined);
    this.spectrum = undefined;
    this.draw();
  }

  setMatrix(result: InspectLayersResult, matrix: InspectMatrixResult): void {
    this.matrix = matrix;
    this.tables.replaceChildren(
      extremesTable('g', matrix.g),
      extremesTable('h', matrix.h),
      outliersTable(result, matrix.statistics),
    );
    this.draw();
  }

  /** The same matrix of another checkpoint, drawn beside it. */
  setOther(other: InspectMatrixResult): void {
    this.other = other;
    this.draw();
  }

  /** The teacher's singular values, or why there are none. */
  setSpectrum(spectrum: number[] | undefined, error?: string): void {
    this.spectrum = spectrum;
    if (spectrum !== undefined) this.spectrumChart.show(spectrumTitle, spectrumChart(spectrum));
    setText(this.spectrumError, error ?? '');
    show(this.spectrumError, error !== undefined);
  }

  private exports(): Exports | undefined {
    const { matrix, spectrum } = this;
    if (matrix === undefined) return undefined;
    const statistics = this.layer ?? matrix.statistics;
    const whole = { ...matrix, statistics, ...(spectrum === undefined ? {} : { spectrum }) };
    const { name } = statistics;
    return {
      name: shortName(name),
      csv: () => matrixCsv(whole),
      json: () => whole,
      drawing: () => {
        const logarithmic = this.host.ui.logValues ?? false;
        const titles = chartTitles(logarithmic);
        const charts = matrixCharts(matrix, logarithmic, this.other);
        return chartsDrawing(
          shortName(name),
          [
            ...chartNames.map((chart) => ({ title: titles[chart], chart: charts[chart] })),
            ...(spectrum === undefined ? [] : [{ title: spectrumTitle, chart: spectrumChart(spectrum) }]),
          ],
          drawingColours(),
        );
      },
    };
  }

  private showFigures(layer: LayerStatistics): void {
    const figure = (label: string, value: string, description: string) =>
      element('div', { title: description }, element('dt', {}, label), element('dd', {}, value));
    this.figures.replaceChildren(
      figure(
        'Shape',
        `${formatInteger(layer.rows)} × ${formatInteger(layer.columns)}`,
        'Rows × columns of the sign matrix',
      ),
      ...layerMetrics([layer]).map(({ label, key, format, description }) =>
        figure(label, format(key(layer) ?? NaN), description),
      ),
    );
  }

  private draw(): void {
    const logarithmic = this.host.ui.logValues ?? false;
    this.logarithmic.set(logarithmic);
    const titles = chartTitles(logarithmic);
    const charts = this.matrix && matrixCharts(this.matrix, logarithmic, this.other);
    for (const [name, chart] of this.charts) chart.show(titles[name], charts?.[name]);
  }
}

const spectrumTitle = 'Singular values of the teacher’s |W| beyond the first';
