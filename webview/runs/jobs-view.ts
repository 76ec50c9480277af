import { outputOf, shareDone, type Job } from '../../server/protocol/job.ts';
import { arrange, element, setAttribute, setText, show } from '../page/element.ts';
import { formatPercent } from '../page/format.ts';
import type { Host } from '../page/host.ts';
import { jobStateText, jobStatusText, jobTarget, jobTitle } from './job-text.ts';
import { curveJob, isActive, orderJobs, type PanelState } from '../page/panel-state.ts';
import { notice, section } from '../page/section.ts';
import { button, progressRing } from '../toolkit.ts';

/** Older ones are shown on demand. */
const shownAtFirst = 6;

interface Card {
  element: HTMLElement;
  title: HTMLElement;
  target: HTMLElement;
  state: HTMLElement;
  track: HTMLElement;
  bar: HTMLElement;
  status: HTMLElement;
  percent: HTMLElement;
  error: HTMLElement;
  cancel: HTMLElement;
  resume: HTMLElement;
  curve: HTMLElement;
  report: HTMLElement;
}

/** Quantizing, distilling and comparing: what runs, how far it is, how it ended. */
export class JobsView {
  readonly element: HTMLElement;
  private readonly list = element('ul', { class: 'jobs' });
  private readonly notice = notice(progressRing);
  private readonly cards = new Map<string, Card>();
  private readonly more = button('Show All', () => {
    this.all = true;
    this.changed();
  });
  private readonly quantize = button('Quantize…', () => this.host.post({ type: 'quantize' }), {
    description: 'Quantize a checkpoint to 1 bit',
  });
  private readonly distill = button('Distill…', () => this.host.post({ type: 'distill' }), {
    description: 'Distill a 1-bit student',
  });
  private readonly evaluate = button('Compare…', () => this.host.post({ type: 'evaluate' }), {
    description: 'Compare models on held-out text',
  });
  private all = false;

  constructor(
    private readonly host: Host,
    private readonly changed: () => void,
  ) {
    const made = section('Jobs', 'jobs');
    this.element = made.element;
    made.tools.append(this.quantize, this.distill, this.evaluate);
    made.body.append(this.notice.element, this.list, element('div', { class: 'jobs-more' }, this.more));
  }

  update(state: PanelState): void {
    const jobs = orderJobs(state.jobs);
    const curve = curveJob(state, this.host.ui.job);
    const shown = this.all ? jobs : jobs.filter((job, i) => i < shownAtFirst || isActive(job));
    const empty = jobs.length === 0;
    show(this.list, !empty);
    show(this.quantize, !empty);
    show(this.distill, !empty);
    show(this.evaluate, !empty);
    show(this.more, shown.length < jobs.length);
    setText(this.more, `Show All ${jobs.length} Jobs`);
    this.notice.set(
      empty
        ? {
            key: 'empty',
            title: 'No jobs yet',
            text: 'Turn a full-precision LLaMA checkpoint into signs and value vectors, or train a 1-bit student from a teacher.',
            actions: () => [
              button('Quantize a Checkpoint…', () => this.host.post({ type: 'quantize' }), { primary: true }),
              button('Distill a Student…', () => this.host.post({ type: 'distill' })),
            ],
          }
        : undefined,
    );
    arrange(
      this.list,
      shown.map((job) => {
        const card = this.cards.get(job.id) ?? this.makeCard(job);
        this.cards.set(job.id, card);
        const measured = (state.metrics[job.id]?.length ?? 0) > 0;
        this.fill(card, job, measured && job.id !== curve?.id);
        return card.element;
      }),
    );
    for (const id of this.cards.keys()) if (!state.jobs.some((job) => job.id === id)) this.cards.delete(id);
  }

  private makeCard(job: Job): Card {
    const title = element('span', { class: 'job-title' });
    const target = element('span', { class: 'job-target' });
    const state = element('span', { class: 'job-state' });
    const bar = element('div', { class: 'progress-bar' });
    const track = element('div', { class: 'progress', role: 'progressbar' }, bar);
    const status = element('span', { class: 'job-status' });
    const percent = element('span', { class: 'job-percent' });
    const error = element('p', { class: 'job-error' });
    const cancel = button('Cancel', () => this.host.post({ type: 'cancelJob', id: job.id }), {
      description: `Cancel: ${jobTitle(job)}`,
    });
    const resume = button('Resume', () => this.host.post({ type: 'resumeJob', id: job.id }), {
      description: `Resume: ${jobTitle(job)}`,
    });
    const curve = button(
      'Show Curve',
      () => {
        this.host.keep({ job: job.id });
        this.changed();
        document.querySelector('.section-curve')?.scrollIntoView({ block: 'nearest' });
      },
      { description: `Show curve: ${jobTitle(job)}` },
    );
    const report = button('Open Report', () => this.host.post({ type: 'openReport', id: job.id }), {
      description: `Open report: ${jobTitle(job)}`,
    });
    const folder = button('Open Folder', () => this.host.post({ type: 'openJobFolder', id: job.id }), {
      description: `Open folder: ${jobTitle(job)}`,
    });
    return {
      element: element(
        'li',
        { class: 'job', 'data-job': job.id },
        element('div', { class: 'job-head' }, title, target, state),
        track,
        element('div', { class: 'job-line' }, status, percent),
        error,
        element('div', { class: 'job-actions' }, cancel, resume, curve, report, folder),
      ),
      title,
      target,
      state,
      track,
      bar,
      status,
      percent,
      error,
      cancel,
      resume,
      curve,
      report,
    };
  }

  private fill(card: Card, job: Job, otherCurve: boolean): void {
    setAttribute(card.element, 'data-state', job.state);
    setText(card.title, jobTitle(job));
    setText(card.target, jobTarget(job));
    setAttribute(card.target, 'title', outputOf(job.spec));
    setText(card.state, jobStateText[job.state]);
    setText(card.status, jobStatusText(job));
    const share = shareDone(job);
    const running = job.state === 'running';
    show(card.track, isActive(job));
    show(card.percent, running && share !== undefined);
    setText(card.percent, share === undefined ? '' : formatPercent(share, 0));
    card.track.classList.toggle('progress-unknown', running && share === undefined);
    setAttribute(card.track, 'aria-label', jobTitle(job));
    setAttribute(card.track, 'aria-valuemin', '0');
    setAttribute(card.track, 'aria-valuemax', '100');
    setAttribute(
      card.track,
      'aria-valuenow',
      share === undefined ? undefined : String(Math.round(share * 100)),
    );
    setAttribute(card.track, 'aria-valuetext', jobStatusText(job));
    const width = `${((share ?? 0) * 100).toFixed(2)}%`;
    if (card.bar.style.width !== width) card.bar.style.width = width;
    show(card.error, job.error !== undefined && job.state !== 'cancelled');
    setText(card.error, job.error?.message ?? '');
    show(card.cancel, isActive(job));
    show(card.resume, job.state === 'cancelled' || job.state === 'interrupted');
    show(card.curve, otherCurve);
    show(card.report, job.spec.kind === 'evaluate' && job.state === 'done');
  }
}
