/** The one door to uPlot: draws curves over steps in the colours of the theme. */
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { CurveKind } from './curves.ts';
import { denseLine, isDense } from './dense-line.ts';
import { indexAtOrAfter, type RunCurves } from './run-curves.ts';
import { smooth, thinLines, type Line } from './thin-curves.ts';
import { formatInteger } from '../page/format.ts';

const height = 260;
/** Of the axes, in pixels. */
const tickSize = 4;
const labelGap = 6;

export interface PlotOptions {
  kinds: CurveKind[];
  /** Losses on a logarithmic scale. Perplexity, an exponential, always is. */
  logarithmic: boolean;
  /** Weight of the moving average, 0 … below 1. */
  smoothing: number;
}

/** Steps from and to. */
type Range = [number, number];

/** A plot that fills the width of its element and follows the theme. It draws as many points as it has pixels. */
export class Plot {
  private readonly plot: { current?: uPlot } = {};
  private options: PlotOptions = { kinds: [], logarithmic: false, smoothing: 0 };
  /** The run, then those beside it. */
  private runs: RunCurves[] = [];
  private lines: Line[] = [];
  /** What is zoomed to; undefined: everything. */
  private zoomed: Range | undefined;
  /** What the plot was built for: another key needs another plot. */
  private builtFor = '';
  private smoothedBy = 0;
  private frame = 0;

  /** `onCursor` gets the index of the point of the run under the pointer, or undefined when it left. */
  constructor(
    private readonly target: HTMLElement,
    private readonly onCursor: (index: number | undefined) => void,
  ) {
    new ResizeObserver(() => {
      const width = this.width();
      if (width <= 0) return;
      this.plot.current?.setSize({ width, height });
      this.refresh();
    }).observe(target);
    // VS Code writes a new theme into the style of the root and the class of the body.
    const rebuild = new MutationObserver(() => this.build());
    rebuild.observe(document.documentElement, { attributes: true, attributeFilter: ['style'] });
    rebuild.observe(document.body, { attributes: true, attributeFilter: ['class'] });
    // Plain turning of the wheel scrolls the page.
    target.addEventListener(
      'wheel',
      (event) => {
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        this.zoom(event.deltaY < 0 ? 0.8 : 1.25);
      },
      { passive: false },
    );
    target.addEventListener('dblclick', () => this.showAll());
  }

  /** @param runs the one whose figures are told, then those drawn beside it */
  update(runs: RunCurves[], options: PlotOptions): void {
    const key = JSON.stringify([options.kinds.map((kind) => kind.name), options.logarithmic, runs.length]);
    const same = runs.length === this.runs.length && runs.every((run, i) => run === this.runs[i]);
    if (key === this.builtFor && same && options.smoothing === this.smoothedBy) return;
    this.runs = runs;
    this.options = options;
    this.smoothedBy = options.smoothing;
    this.lines = runs.flatMap((run) =>
      options.kinds.map(({ name, scale }) => ({
        steps: run.steps,
        // Perplexity is measured now and then: it stays as measured.
        values: scale === 'perplexity' ? run.values[name] : smooth(run.values[name], options.smoothing),
      })),
    );
    if (key === this.builtFor && this.plot.current !== undefined) this.refresh();
    else {
      this.builtFor = key;
      this.build();
    }
  }

  /** Puts the cursor on a step, as the pointer would. */
  pointTo(index: number): void {
    const { current } = this.plot;
    const step = this.runs[0]?.steps[index];
    if (current === undefined || step === undefined) return;
    const [from, to] = this.range();
    if (step < from || step > to) this.move(step - (from + to) / 2);
    current.setCursor({ left: current.valToPos(step, 'x'), top: current.over.clientHeight / 2 });
  }

  /** Shows `factor` times as many steps, the one under the cursor staying where it is. */
  zoom(factor: number): void {
    const { current } = this.plot;
    if (current === undefined) return;
    const [from, to] = this.range();
    const left = current.cursor.left ?? -1;
    const middle = left < 0 ? (from + to) / 2 : current.posToVal(left, 'x');
    this.setRange([middle - (middle - from) * factor, middle + (to - middle) * factor]);
  }

  /** Moves by a share of what is shown. */
  pan(share: number): void {
    const [from, to] = this.range();
    this.move((to - from) * share);
  }

  showAll(): void {
    this.zoomed = undefined;
    this.later();
  }

  /** What is drawn, as a PNG on the theme's background, in base64. */
  picture(): string | undefined {
    const { current } = this.plot;
    if (current === undefined) return undefined;
    const { width, height: rows } = current.ctx.canvas;
    const copy = document.createElement('canvas');
    copy.width = width;
    copy.height = rows;
    const context = copy.getContext('2d');
    if (context === null) return undefined;
    context.fillStyle = getComputedStyle(document.body).backgroundColor;
    context.fillRect(0, 0, width, rows);
    context.drawImage(current.ctx.canvas, 0, 0);
    return copy.toDataURL('image/png').split(',')[1];
  }

  private move(steps: number): void {
    const [from, to] = this.range();
    this.setRange([from + steps, to + steps]);
  }

  /** Keeps inside of what there is, and no closer than ten steps. */
  private setRange([from, to]: Range): void {
    const [first, last] = this.extent();
    const span = Math.min(last - first, Math.max(10, to - from));
    const start = Math.min(Math.max(first, from), last - span);
    this.zoomed = span >= last - first ? undefined : [start, start + span];
    this.later();
  }

  /** However many turns of the wheel come, one drawing a frame. */
  private later(): void {
    if (this.frame !== 0) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.refresh();
    });
  }

  private extent(): Range {
    const firsts = this.runs.map(({ steps }) => steps[0] ?? Infinity);
    const lasts = this.runs.map(({ steps }) => steps.at(-1) ?? -Infinity);
    const [first, last] = [Math.min(...firsts), Math.max(...lasts)];
    return first < last ? [first, last] : Number.isFinite(first) ? [first - 0.5, first + 0.5] : [0, 1];
  }

  private range(): Range {
    return this.zoomed ?? this.extent();
  }

  private refresh(): void {
    this.plot.current?.setData(this.columns());
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
    const [from, to] = this.range();
    const { steps, values } = thinLines(this.lines, from, to, Math.max(100, (this.width() - 100) >> 1));
    this.dashed(values);
    const drawn = values.map((column, i) =>
      // A logarithm has no place for zero and below.
      logarithmic || kinds[i % kinds.length]?.scale === 'perplexity'
        ? column.map((value) => (value !== null && value > 0 ? value : null))
        : column,
    );
    return [steps, ...drawn];
  }

  /** Dashes are for lines that can be followed: a dense one is an area. */
  private dashed(values: (number | null)[][]): void {
    const { kinds } = this.options;
    this.plot.current?.series.slice(1).forEach((series, i) => {
      series.dash = isDense(values[i] ?? []) ? undefined : kinds[i % kinds.length]?.dash;
    });
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
      ticks: { stroke: lines, width: 0.5, size: tickSize },
      gap: labelGap,
      ...options,
    });
    const vertical = (scale: CurveKind['scale'], side: 1 | 3): uPlot.Axis =>
      axis({
        scale,
        side,
        size: (plot, labels) => axisWidth(plot, labels ?? [], font),
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
      // Dragging over steps zooms to them.
      cursor: { y: false, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
      scales: {
        x: { time: false, range: () => this.range() },
        loss: { distr: logarithmic ? 3 : 1 },
        perplexity: { distr: 3 },
      },
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
        ...this.runs.flatMap((_, run) =>
          kinds.map((kind): uPlot.Series => {
            const colour = theme(kind.colour, text);
            // A run beside the chosen one is paler and thicker.
            const width = run === 0 ? 1.5 : 3;
            const rare = kind.scale === 'perplexity' || kind.scale === 'signFlips';
            return {
              label: kind.label,
              scale: kind.scale,
              stroke: colour,
              alpha: run === 0 ? 1 : 0.45,
              width,
              dash: kind.dash,
              paths: denseLine(colour, width),
              // Where there are fewer points than pixels, most places have none.
              spanGaps: true,
              // One step alone makes no line.
              points: {
                show: (plot, index) =>
                  this.runs[run]?.steps.length === 1 || (rare && !isDense(plot.data[index] ?? [])),
                size: 6,
                fill: colour,
              },
            };
          }),
        ),
      ],
      hooks: {
        setCursor: [(plot) => this.onCursor(this.pointAt(plot))],
        setSelect: [(plot) => this.zoomTo(plot)],
      },
    };
  }

  private pointAt(plot: uPlot): number | undefined {
    const run = this.runs[0];
    const { left = -1 } = plot.cursor;
    if (run === undefined || left < 0) return undefined;
    const step = plot.posToVal(left, 'x');
    const after = Math.min(indexAtOrAfter(run.steps, step), run.steps.length - 1);
    const before = Math.max(0, after - 1);
    return step - (run.steps[before] ?? 0) < (run.steps[after] ?? 0) - step ? before : after;
  }

  private zoomTo(plot: uPlot): void {
    const { left, width } = plot.select;
    if (width < 4) return;
    this.setRange([plot.posToVal(left, 'x'), plot.posToVal(left + width, 'x')]);
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  }
}

/** Room for tick, gap and the longest label, in CSS pixels; at least so much that most runs have the same. */
function axisWidth({ ctx }: uPlot, labels: (string | null)[], font: string): number {
  ctx.save();
  ctx.font = font;
  const longest = Math.max(0, ...labels.map((label) => ctx.measureText(label ?? '').width));
  ctx.restore();
  return Math.max(52, Math.ceil(longest) + tickSize + labelGap + 2);
}

/** Axis labels: no more digits than the value needs. */
function formatTick(value: number): string {
  return Math.abs(value) >= 1000 ? formatInteger(value) : String(Number(value.toPrecision(4)));
}
