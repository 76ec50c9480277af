/** The one door to uPlot: draws curves over steps in the colours of the theme. */
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { type CurveData, type CurveKind } from './curves.ts';
import { formatInteger } from '../page/format.ts';

const height = 260;

export interface PlotOptions {
  kinds: CurveKind[];
  /** Losses on a logarithmic scale. Perplexity, an exponential, always is. */
  logarithmic: boolean;
}

/** A plot that fills the width of its element and follows the theme. */
export class Plot {
  private readonly plot: { current?: uPlot } = {};
  private options: PlotOptions = { kinds: [], logarithmic: false };
  private data: CurveData = { steps: [], values: {} };
  /** What the plot was built for: another key needs another plot. */
  private builtFor = '';

  /** `onCursor` gets the index of the step under the pointer, or undefined when it left. */
  constructor(
    private readonly target: HTMLElement,
    private readonly onCursor: (index: number | undefined) => void,
  ) {
    new ResizeObserver(() => {
      const width = this.width();
      if (width > 0) this.plot.current?.setSize({ width, height });
    }).observe(target);
    // VS Code writes a new theme into the style of the root and the class of the body.
    const rebuild = new MutationObserver(() => this.build());
    rebuild.observe(document.documentElement, { attributes: true, attributeFilter: ['style'] });
    rebuild.observe(document.body, { attributes: true, attributeFilter: ['class'] });
  }

  update(data: CurveData, options: PlotOptions): void {
    const key = JSON.stringify([options.kinds.map((kind) => kind.name), options.logarithmic]);
    this.data = data;
    this.options = options;
    if (key === this.builtFor && this.plot.current !== undefined) this.plot.current.setData(this.columns());
    else {
      this.builtFor = key;
      this.build();
    }
  }

  /** Puts the cursor on a step, as the pointer would. */
  pointTo(index: number): void {
    const { current } = this.plot;
    const step = this.data.steps[index];
    if (current === undefined || step === undefined) return;
    current.setCursor({ left: current.valToPos(step, 'x'), top: current.over.clientHeight / 2 });
  }

  private build(): void {
    this.plot.current?.destroy();
    this.plot.current = new uPlot(this.uplotOptions(), this.columns(), this.target);
  }

  private width(): number {
    return Math.floor(this.target.clientWidth);
  }

  private columns(): uPlot.AlignedData {
    const { logarithmic, kinds } = this.options;
    const values = kinds.map((kind) => {
      const column = this.data.values[kind.name] ?? this.data.steps.map(() => null);
      // A logarithm has no place for zero and below.
      return logarithmic || kind.scale === 'perplexity'
        ? column.map((value) => (value !== null && value > 0 ? value : null))
        : column;
    });
    return [this.data.steps, ...values];
  }

  private uplotOptions(): uPlot.Options {
    const { kinds, logarithmic } = this.options;
    const style = getComputedStyle(document.body);
    const theme = (name: string, otherwise: string) => style.getPropertyValue(name).trim() || otherwise;
    const text = theme('--vscode-descriptionForeground', style.color);
    const lines = theme('--vscode-charts-lines', text);
    const font = `11px ${theme('--vscode-font-family', 'sans-serif')}`;
    const axis = (options: uPlot.Axis): uPlot.Axis => ({
      stroke: text,
      font,
      grid: { stroke: lines, width: 0.5 },
      ticks: { stroke: lines, width: 0.5, size: 4 },
      gap: 6,
      ...options,
    });
    const vertical = (scale: CurveKind['scale'], side: 1 | 3): uPlot.Axis =>
      axis({
        scale,
        side,
        size: 52,
        values: (_, splits) => splits.map((v) => (v === null ? '' : formatTick(v))),
        ...(side === 1 ? { grid: { show: false } } : {}),
      });
    const hasLoss = kinds.some((kind) => kind.scale === 'loss');
    const hasPerplexity = kinds.some((kind) => kind.scale === 'perplexity');
    return {
      width: Math.max(this.width(), 100),
      height,
      padding: [10, hasPerplexity ? 0 : 12, 0, hasLoss ? 0 : 12],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: { x: { time: false }, loss: { distr: logarithmic ? 3 : 1 }, perplexity: { distr: 3 } },
      axes: [
        axis({
          size: 32,
          values: (_, splits) => splits.map((v) => (Number.isInteger(v) ? formatInteger(v) : '')),
          space: 64,
        }),
        ...(hasLoss ? [vertical('loss', 3)] : []),
        ...(hasPerplexity ? [vertical('perplexity', 1)] : []),
      ],
      series: [
        {},
        ...kinds.map((kind): uPlot.Series => {
          const colour = theme(kind.colour, text);
          const rare = kind.name === 'perplexity';
          return {
            label: kind.label,
            scale: kind.scale,
            stroke: colour,
            width: 1.5,
            dash: kind.dash,
            // Perplexity is measured now and then: join its points, and show them.
            spanGaps: rare,
            // One step alone makes no line.
            points: { show: (plot) => rare || plot.data[0].length === 1, size: 6, fill: colour },
          };
        }),
      ],
      hooks: {
        setCursor: [(plot) => this.onCursor(plot.cursor.idx ?? undefined)],
      },
    };
  }
}

/** Axis labels: no more digits than the value needs. */
function formatTick(value: number): string {
  return Math.abs(value) >= 1000 ? formatInteger(value) : String(Number(value.toPrecision(4)));
}
