import type { Metric } from '../../server/protocol/job.ts';
import { arrange, element, setAttribute, setText, show } from '../page/element.ts';
import { formatInteger } from '../page/format.ts';
import { lastMeasurement, signFlipSummary } from './measurement.ts';

/** Under the curve: which layers' signs have turned, and what the student writes beside its teacher. */
export class MeasurementView {
  readonly element: HTMLElement;
  private readonly summary = element('p', { class: 'note' });
  private readonly bars = element('div', { class: 'flips', role: 'img' });
  private readonly samples = element('dl', { class: 'samples' });
  private readonly studentName = element('dt', {});
  private readonly student = sample();
  private readonly teacherName = element('dt', {}, 'Teacher');
  private readonly teacher = sample();

  constructor() {
    this.samples.append(this.studentName, this.student.element, this.teacherName, this.teacher.element);
    this.element = element('div', { class: 'measurement' }, this.summary, this.bars, this.samples);
  }

  update(metrics: readonly Metric[]): void {
    const measured = lastMeasurement(metrics);
    show(this.element, measured !== undefined);
    if (measured === undefined) return;
    const { layers, sample } = measured;
    show(this.summary, layers.length > 0);
    show(this.bars, layers.length > 0);
    if (layers.length > 0) {
      setText(this.summary, signFlipSummary(measured));
      setAttribute(this.bars, 'aria-label', layers.map(({ text }) => text).join('. '));
      const most = Math.max(...layers.map(({ sinceStart }) => sinceStart), 1e-9);
      const made = layers.map((_, i) => this.bars.children[i] ?? element('span', { class: 'flip' }));
      arrange(this.bars, made);
      for (const [i, { sinceStart, text }] of layers.entries()) {
        const bar = made[i] as HTMLElement;
        bar.style.height = `${Math.max(4, (100 * sinceStart) / most).toFixed(1)}%`;
        setAttribute(bar, 'title', text);
      }
    }
    show(this.samples, sample !== undefined);
    if (sample === undefined) return;
    const other = sample.teacher !== undefined;
    setText(this.studentName, `${other ? 'Student' : 'Model'} at step ${formatInteger(measured.step)}`);
    this.student.set(sample.prompt, sample.completion);
    show(this.teacherName, other);
    show(this.teacher.element, other);
    this.teacher.set(sample.prompt, sample.teacher ?? '');
  }
}

/** A prompt with its completion. */
function sample(): { element: HTMLElement; set(prompt: string, completion: string): void } {
  const before = element('span', { class: 'sample-prompt' });
  const after = element('span', {});
  return {
    element: element('dd', {}, element('pre', { class: 'sample' }, before, after)),
    set(prompt, completion) {
      setText(before, prompt);
      setText(after, completion);
    },
  };
}
