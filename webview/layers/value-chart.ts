import { element, setAttribute, setText, show } from '../page/element.ts';
import { chartScale, stepArea, stepLine } from './chart-path.ts';

/** What a chart shows. */
export interface ChartValues {
  values: number[];
  /** The same of another checkpoint, drawn as a line. */
  other?: number[];
  /** The value that the shapes stand on; without one the smallest. */
  base?: number;
  /** What the value of an index is of: `row 12`. */
  at(index: number): string;
  text(value: number): string;
  /** Under the left and the right end. */
  ends: [left: string, right: string];
  /** The chart in words. */
  summary: string;
}

const namespace = 'http://www.w3.org/2000/svg';
/** Units of the drawing: it is stretched over the room that there is. */
const width = 1000;
const height = 100;

/**
 * Values side by side as one stepped shape. The pointer, or the arrow keys as on a slider, go from value to value; what a
 * value is stands beside the title.
 */
export class ValueChart {
  readonly element: HTMLElement;
  private readonly title = element('span', { class: 'chart-title' });
  private readonly readout = element('span', { class: 'chart-readout' });
  private readonly picture = svg('svg', {
    viewBox: `0 0 ${width} ${height}`,
    preserveAspectRatio: 'none',
    'aria-hidden': 'true',
  });
  private readonly area = svg('path', { class: 'chart-area' });
  private readonly line = svg('path', { class: 'chart-line' });
  private readonly cursor = svg('path', { class: 'chart-cursor' });
  private readonly plot: HTMLElement;
  private readonly left = element('span', {});
  private readonly right = element('span', {});
  private shown: ChartValues | undefined;
  private at: number | undefined;

  constructor() {
    this.picture.append(this.area, this.line, this.cursor);
    this.plot = element('div', { class: 'chart-plot', role: 'slider', tabindex: '0' });
    this.plot.append(this.picture);
    this.element = element(
      'div',
      { class: 'chart' },
      element('p', { class: 'chart-caption' }, this.title, this.readout),
      this.plot,
      element('p', { class: 'chart-ends note', 'aria-hidden': 'true' }, this.left, this.right),
    );
    this.listen();
  }

  /** Shows these values, or an empty chart that keeps its place. */
  show(title: string, chart: ChartValues | undefined): void {
    if (chart?.values.length !== this.shown?.values.length) this.at = undefined;
    this.shown = chart;
    const { values = [], other } = chart ?? {};
    const scale = chartScale(other === undefined ? [values] : [values, other], chart?.base);
    setText(this.title, title);
    setAttribute(this.area, 'd', stepArea(values, scale, width, height));
    setAttribute(this.line, 'd', other === undefined ? '' : stepLine(other, scale, width, height));
    setText(this.left, chart?.ends[0] ?? '\u00a0');
    setText(this.right, chart?.ends[1] ?? '');
    setAttribute(this.plot, 'aria-label', chart === undefined ? title : `${title}. ${chart.summary}`);
    setAttribute(this.plot, 'aria-valuemin', '0');
    setAttribute(this.plot, 'aria-valuemax', String(Math.max(0, values.length - 1)));
    this.point(this.at);
  }

  private listen(): void {
    this.plot.addEventListener('pointermove', (event) => {
      const { left, width: pixels } = this.plot.getBoundingClientRect();
      const count = this.shown?.values.length ?? 0;
      this.point(Math.min(count - 1, Math.max(0, Math.floor(((event.clientX - left) / pixels) * count))));
    });
    this.plot.addEventListener('pointerleave', () => {
      if (document.activeElement !== this.plot) this.point(undefined);
    });
    this.plot.addEventListener('blur', () => this.point(undefined));
    this.plot.addEventListener('keydown', (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const last = (this.shown?.values.length ?? 0) - 1;
      const page = Math.max(1, Math.round(last / 20));
      const at = this.at ?? -1;
      const moves: Record<string, number> = {
        ArrowLeft: at - 1,
        ArrowDown: at - 1,
        ArrowRight: at + 1,
        ArrowUp: at + 1,
        PageUp: at + page,
        PageDown: at - page,
        Home: 0,
        End: last,
      };
      const to = moves[event.key];
      if (to === undefined || last < 0) return;
      event.preventDefault();
      this.point(Math.min(last, Math.max(0, to)));
    });
  }

  private point(at: number | undefined): void {
    this.at = at;
    const { shown } = this;
    const value = at === undefined ? undefined : shown?.values[at];
    show(this.cursor as unknown as HTMLElement, value !== undefined);
    setAttribute(this.plot, 'aria-valuenow', String(at ?? 0));
    if (shown === undefined || at === undefined || value === undefined) {
      setText(this.readout, shown?.summary ?? '\u00a0');
      setAttribute(this.plot, 'aria-valuetext', shown?.summary ?? 'Nothing yet');
      return;
    }
    const x = ((at + 0.5) * width) / shown.values.length;
    setAttribute(this.cursor, 'd', `M${x} 0V${height}`);
    const other = shown.other?.[at];
    const said = `${shown.at(at)}: ${shown.text(value)}${other === undefined ? '' : `, before ${shown.text(other)}`}`;
    setText(this.readout, said);
    setAttribute(this.plot, 'aria-valuetext', said);
  }
}

function svg(tag: string, attributes: Record<string, string>): SVGElement {
  const made = document.createElementNS(namespace, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
