import type { TensorRow, TensorStatistics } from '../../server/protocol/checkpoint-file.ts';
import type { Progress } from '../../server/protocol/progress.ts';
import { element, setAttribute, setText, show } from '../page/element.ts';
import { formatBytes, formatInteger, formatPercent, formatStatistic } from '../page/format.ts';
import { notice, section } from '../page/section.ts';
import { button, progressRing } from '../toolkit.ts';
import { magnitudeChart } from './magnitude-chart.ts';
import { shapeText } from './tensor-grid.ts';

export type StatisticsState =
  | { state: 'none' }
  | { state: 'reading'; progress?: Progress }
  | { state: 'failed'; message: string }
  | { state: 'read'; statistics: TensorStatistics };

export interface StatisticsActions {
  compute(name: string): void;
  cancel(): void;
}

/** The chosen tensor: where it lies, and what its values are, once somebody has asked for that. */
export class StatisticsView {
  readonly element: HTMLElement;
  private readonly name = element('p', { class: 'tensor-full-name' });
  private readonly facts = element('p', { class: 'note' });
  private readonly notice = notice(progressRing);
  private readonly bar = element('progress', { class: 'read-bar', max: '1', 'aria-label': 'Read so far' });
  private readonly figures = element('dl', { class: 'statistics' });
  private readonly chart = element('div', { class: 'magnitudes' });
  private readonly read: HTMLElement;
  private shown: TensorStatistics | undefined;

  constructor(private readonly actions: StatisticsActions) {
    const made = section('Values', 'values');
    this.element = made.element;
    this.read = element('div', {}, this.figures, this.chart);
    made.body.append(this.name, this.facts, this.notice.element, this.bar, this.read);
  }

  update(tensor: TensorRow | undefined, state: StatisticsState): void {
    show(this.name, tensor !== undefined);
    show(this.facts, tensor !== undefined);
    show(this.bar, state.state === 'reading');
    show(this.read, state.state === 'read');
    if (tensor === undefined) {
      this.notice.set({ key: 'none', title: 'No tensor is chosen', text: 'Choose one in the list.' });
      return;
    }
    const { name, shape, type, bytes, offset } = tensor;
    setText(this.name, name.length > 2000 ? `${name.slice(0, 2000)}…` : name);
    setText(
      this.facts,
      `${shapeText(shape)} · ${type} · ${formatInteger(bytes)} bytes from byte ${formatInteger(offset)} on`,
    );
    switch (state.state) {
      case 'none':
        return this.notice.set({
          key: `ask ${name}`,
          title: 'Look at the values',
          text: `Reads ${formatBytes(bytes)}. Enter in the list does the same.`,
          actions: () => [button('Compute Statistics', () => this.actions.compute(name), { primary: true })],
        });
      case 'reading': {
        const { done = 0, total = bytes } = state.progress ?? {};
        setAttribute(this.bar, 'value', String(total > 0 ? done / total : 0));
        return this.notice.set({
          key: `reading ${name}`,
          title: 'Reading the values…',
          text: `${formatBytes(done)} of ${formatBytes(total)}`,
          busy: true,
          actions: () => [button('Cancel', () => this.actions.cancel())],
        });
      }
      case 'failed':
        return this.notice.set({
          key: `failed ${name}`,
          title: 'The values could not be read',
          text: state.message,
          tone: 'error',
          actions: () => [button('Try Again', () => this.actions.compute(name))],
        });
      case 'read':
        this.notice.set(undefined);
        this.showStatistics(state.statistics);
    }
  }

  private showStatistics(statistics: TensorStatistics): void {
    if (this.shown === statistics) return;
    this.shown = statistics;
    this.figures.replaceChildren(
      ...figuresOf(statistics).map(([term, text]) =>
        element('div', { class: 'statistic' }, element('dt', {}, term), element('dd', {}, text)),
      ),
    );
    this.chart.replaceChildren(...magnitudeChart(statistics));
  }
}

/** Terms and figures, most asked for first; what is not there is left out. */
export function figuresOf(statistics: TensorStatistics): [string, string][] {
  const { count, finite, nan, infinite, zeros, negative, bitShare } = statistics;
  const share = (part: number) => `${formatInteger(part)} (${formatPercent(part / count, 2)})`;
  const figures: [string, string][] = [['Values', formatInteger(count)]];
  if (nan > 0) figures.push(['NaN', share(nan)]);
  if (infinite > 0) figures.push(['Infinite', share(infinite)]);
  if (finite > 0) {
    figures.push(
      ['Mean', formatStatistic(statistics.mean)],
      ['Standard deviation', formatStatistic(statistics.std)],
      ['Root mean square', formatStatistic(statistics.rms)],
      ['Smallest', formatStatistic(statistics.min)],
      ['Largest', formatStatistic(statistics.max)],
      ['Negative', share(negative)],
      ['Zero', share(zeros)],
    );
  }
  if (bitShare !== undefined) figures.push(['Bits that are 1', formatPercent(bitShare, 2)]);
  return figures;
}
