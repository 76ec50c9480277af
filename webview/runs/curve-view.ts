import type { Job, Metric } from '../../server/protocol/job.ts';
import {
  type CurveData,
  type CurveKind,
  curveData,
  curveKinds,
  curveSummary,
  lastValue,
  stepText,
} from './curves.ts';
import { arrange, element, setAttribute, setText, show } from '../page/element.ts';
import { formatLoss, none } from '../page/format.ts';
import type { Host } from '../page/host.ts';
import { jobTitle } from './job-text.ts';
import { curveJob, orderJobs, type PanelState } from '../page/panel-state.ts';
import { MeasurementView } from './measurement-view.ts';
import { Plot } from './plot.ts';
import { section } from '../page/section.ts';
import { checkbox, dropdown } from '../toolkit.ts';

interface Key {
  element: HTMLButtonElement;
  value: HTMLElement;
}

/** Loss, its parts and perplexity over the steps of one run. Hidden until a run has measurements. */
export class CurveView {
  readonly element: HTMLElement;
  private readonly jobs = dropdown('Run whose curve is shown', (id) => {
    this.host.keep({ job: id });
    this.changed();
  });
  private readonly logarithmic = checkbox('Losses on log scale', (checked) => {
    this.host.keep({ logarithmic: checked });
    this.changed();
  });
  private readonly keys = new Map<string, Key>();
  private readonly keyList = element('div', { class: 'curve-keys', role: 'group', 'aria-label': 'Curves' });
  private readonly step = element('span', { class: 'curve-step' });
  private readonly canvas = element('div', {
    class: 'curve-plot',
    tabindex: '0',
    role: 'slider',
    'aria-label': 'Step of the run',
  });
  private readonly summary = element('p', { class: 'note' });
  private readonly measurement = new MeasurementView();
  private readonly plot: Plot;
  private data: CurveData = { steps: [], values: {} };
  private metrics: Metric[] = [];
  private cursor: number | undefined;

  constructor(
    private readonly host: Host,
    private readonly changed: () => void,
  ) {
    const made = section('Training curve', 'curve');
    this.element = made.element;
    made.tools.append(this.logarithmic.element, this.jobs.element);
    made.body.append(
      element('div', { class: 'curve-head' }, this.keyList, this.step),
      this.canvas,
      this.summary,
      this.measurement.element,
    );
    this.plot = new Plot(this.canvas, (index) => {
      this.cursor = index;
      this.showFigures();
    });
    this.canvas.addEventListener('keydown', (event) => this.walk(event));
    show(this.element, false);
  }

  update(state: PanelState): void {
    const job = curveJob(state, this.host.ui.job);
    show(this.element, job !== undefined);
    if (job === undefined) return;
    this.showJobs(state, job);
    const metrics = state.metrics[job.id] ?? [];
    if (metrics !== this.metrics) {
      this.metrics = metrics;
      this.data = curveData(metrics);
      this.measurement.update(metrics);
    }
    const hidden = this.host.ui.hiddenCurves ?? [];
    const logarithmic = this.host.ui.logarithmic ?? false;
    const present = curveKinds.filter((kind) => this.data.values[kind.name] !== undefined);
    this.logarithmic.set(logarithmic);
    this.showKeys(present, hidden);
    this.plot.update(this.data, {
      kinds: present.filter((kind) => !hidden.includes(kind.name)),
      logarithmic,
    });
    setText(this.summary, curveSummary(this.data));
    this.showFigures();
  }

  private showJobs(state: PanelState, shown: Job): void {
    const measured = orderJobs(state.jobs).filter((job) => (state.metrics[job.id]?.length ?? 0) > 0);
    this.jobs.set(
      measured.map((job) => ({
        value: job.id,
        label: `${jobTitle(job)}, ${startTime(job)}`,
        description: job.folder,
      })),
      shown.id,
    );
  }

  /** The legend: a switch for each curve, with its value. */
  private showKeys(kinds: CurveKind[], hidden: string[]): void {
    arrange(
      this.keyList,
      kinds.map((kind) => {
        const key = this.keys.get(kind.name) ?? this.makeKey(kind);
        this.keys.set(kind.name, key);
        setAttribute(key.element, 'aria-pressed', String(!hidden.includes(kind.name)));
        return key.element;
      }),
    );
  }

  private makeKey(kind: CurveKind): Key {
    const value = element('span', { class: 'curve-value' });
    const line = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    line.setAttribute('class', `curve-line curve-${kind.name}`);
    line.setAttribute('viewBox', '0 0 20 8');
    line.setAttribute('aria-hidden', 'true');
    const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
    path.setAttribute('d', 'M0 4H20');
    path.setAttribute('stroke-dasharray', kind.dash.map((n) => n / 1.5).join(' '));
    line.append(path);
    if (kind.name === 'perplexity') {
      const point = document.createElementNS('http://www.w3.org/2000/svg', 'circle');
      point.setAttribute('cx', '10');
      point.setAttribute('cy', '4');
      point.setAttribute('r', '3');
      line.append(point);
    }
    const made = element(
      'button',
      { class: 'curve-key', type: 'button', title: kind.description },
      line,
      element('span', { class: 'curve-name' }, kind.label),
      value,
    );
    made.addEventListener('click', () => {
      const hidden = this.host.ui.hiddenCurves ?? [];
      this.host.keep({
        hiddenCurves: hidden.includes(kind.name)
          ? hidden.filter((name) => name !== kind.name)
          : [...hidden, kind.name],
      });
      this.changed();
    });
    return { element: made, value };
  }

  /** The values under the cursor, or the last ones. */
  private showFigures(): void {
    const at = this.cursor;
    for (const [name, key] of this.keys) {
      const kind = curveKinds.find((k) => k.name === name);
      if (kind === undefined) continue;
      const value =
        at === undefined ? lastValue(this.data, kind.name)?.value : this.data.values[kind.name]?.[at];
      setText(key.value, value === null || value === undefined ? none : formatLoss(value));
    }
    const metric = this.metrics[at ?? this.metrics.length - 1];
    const text = metric === undefined ? '' : stepText(metric);
    setText(this.step, text);
    setAttribute(this.canvas, 'aria-valuemin', String(this.data.steps[0] ?? 0));
    setAttribute(this.canvas, 'aria-valuemax', String(this.data.steps.at(-1) ?? 0));
    setAttribute(this.canvas, 'aria-valuenow', String(metric?.step ?? 0));
    setAttribute(this.canvas, 'aria-valuetext', [text, ...this.spoken(at)].join(', '));
  }

  private spoken(at: number | undefined): string[] {
    return curveKinds.flatMap((kind) => {
      const value =
        at === undefined ? lastValue(this.data, kind.name)?.value : this.data.values[kind.name]?.[at];
      return value === null || value === undefined ? [] : [`${kind.label} ${formatLoss(value)}`];
    });
  }

  /** Arrow keys move the cursor by a step, page keys by a twentieth of the run. */
  private walk(event: KeyboardEvent): void {
    const last = this.data.steps.length - 1;
    const at = this.cursor ?? last;
    const page = Math.max(1, Math.round(last / 20));
    const moves: Record<string, number> = {
      ArrowLeft: at - 1,
      ArrowRight: at + 1,
      PageUp: at + page,
      PageDown: at - page,
      Home: 0,
      End: last,
    };
    const to = moves[event.key];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    this.plot.pointTo(Math.min(last, Math.max(0, to)));
  }
}

function startTime(job: Job): string {
  const date = new Date(job.started ?? job.created);
  return Number.isNaN(date.getTime())
    ? job.id
    : date.toLocaleString('en-GB', { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' });
}
