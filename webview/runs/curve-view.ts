import type { Job, Metric } from '../../server/protocol/job.ts';
import {
  type CurveKind,
  curveKinds,
  curveSummary,
  hiddenAtFirst,
  lastValue,
  presentKinds,
  stepText,
  valueAt,
} from './curves.ts';
import { arrange, element, setAttribute, setText, show } from '../page/element.ts';
import { formatLoss, formatStatistic, none } from '../page/format.ts';
import type { Host } from '../page/host.ts';
import { jobTitle } from './job-text.ts';
import { curveJob, orderJobs, type PanelState } from '../page/panel-state.ts';
import { MeasurementView } from './measurement-view.ts';
import { Plot } from './plot.ts';
import { curvesOf, noPoints, type RunCurves } from './run-curves.ts';
import { section } from '../page/section.ts';
import { button, checkbox, dropdown } from '../toolkit.ts';

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
  private readonly smoothing = dropdown('Smoothing of the curves', (value) => {
    this.host.keep({ smoothing: Number(value) });
    this.changed();
  });
  private readonly others = element('div', {
    class: 'curve-others',
    role: 'group',
    'aria-label': 'Runs drawn beside it',
  });
  private readonly otherKeys = new Map<string, HTMLElement>();
  private data: RunCurves = noPoints;
  private shown: Job | undefined;
  /** Runs whose points were asked for, with the snapshot that they belong to. */
  private readonly asked = new Set<string>();
  private curves: PanelState['curves'];
  private metrics: Metric[] = [];
  private readonly thinned = new Map<string, { metrics: Metric[]; curves: RunCurves }>();
  private cursor: number | undefined;

  constructor(
    private readonly host: Host,
    private readonly changed: () => void,
  ) {
    const made = section('Training curve', 'curve');
    this.element = made.element;
    made.tools.append(this.logarithmic.element, this.smoothing.element, this.jobs.element);
    made.body.append(
      element('div', { class: 'curve-head' }, this.keyList, this.step),
      this.canvas,
      element(
        'div',
        { class: 'curve-actions' },
        button('Zoom In', () => this.plot.zoom(0.5)),
        button('Zoom Out', () => this.plot.zoom(2)),
        button('Show All', () => this.plot.showAll(), { description: 'Show All steps' }),
        button('PNG…', () => this.savePicture(), { description: 'PNG…: save the picture' }),
        button('CSV…', () => this.exportAs('csv'), { description: 'CSV…: save the figures' }),
        button('TensorBoard…', () => this.exportAs('tensorboard'), {
          description: 'TensorBoard…: save an event file',
        }),
      ),
      this.others,
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
    this.shown = job;
    this.showJobs(state, job);
    // A fresh snapshot has forgotten all points.
    if (state.curves === undefined && this.curves !== undefined) this.asked.clear();
    this.curves = state.curves;
    const beside = this.showOthers(state, job);
    const metrics = state.metrics[job.id] ?? [];
    if (metrics !== this.metrics) {
      this.metrics = metrics;
      this.measurement.update(metrics);
    }
    const runs = [job.id, ...beside].map((id) => this.pointsOf(state, id));
    this.data = runs[0] ?? noPoints;
    const hidden = this.host.ui.hiddenCurves ?? hiddenAtFirst;
    const logarithmic = this.host.ui.logarithmic ?? false;
    const smoothing = this.host.ui.smoothing ?? 0;
    const present = presentKinds(this.data);
    this.logarithmic.set(logarithmic);
    this.smoothing.set(
      [0, 0.6, 0.9, 0.97, 0.99].map((weight) => ({
        value: String(weight),
        label: weight === 0 ? 'As measured' : `Smoothed ${weight}`,
      })),
      String(smoothing),
    );
    this.showKeys(present, hidden);
    this.plot.update(runs, {
      kinds: present.filter((kind) => !hidden.includes(kind.name)),
      logarithmic,
      smoothing,
    });
    setText(this.summary, curveSummary(this.data));
    this.showFigures();
  }

  /** All points where the page has them; until then those of the snapshot, which thins out long runs. */
  private pointsOf(state: PanelState, id: string): RunCurves {
    const all = state.curves?.[id];
    if (all === undefined && !this.asked.has(id)) {
      this.asked.add(id);
      this.host.post({ type: 'curves', id });
    }
    if (all !== undefined) return all;
    const metrics = state.metrics[id] ?? [];
    const known = this.thinned.get(id);
    if (known?.metrics === metrics) return known.curves;
    const curves = curvesOf(metrics);
    this.thinned.set(id, { metrics, curves });
    return curves;
  }

  /** Switches for the other runs. @returns the ids of those that are on */
  private showOthers(state: PanelState, shown: Job): string[] {
    const chosen = this.host.ui.overlay ?? [];
    const others = orderJobs(state.jobs).filter(
      ({ id }) => id !== shown.id && (state.metrics[id]?.length ?? 0) > 0,
    );
    show(this.others, others.length > 0);
    arrange(
      this.others,
      others.map((job) => {
        const key = this.otherKeys.get(job.id) ?? this.makeOther(job);
        this.otherKeys.set(job.id, key);
        setAttribute(key, 'aria-pressed', String(chosen.includes(job.id)));
        return key;
      }),
    );
    return others.map(({ id }) => id).filter((id) => chosen.includes(id));
  }

  private makeOther(job: Job): HTMLElement {
    const text = `Beside it: ${jobTitle(job)}, ${startTime(job)}`;
    const made = element('button', { class: 'curve-key', type: 'button', title: job.folder }, text);
    made.addEventListener('click', () => {
      const chosen = this.host.ui.overlay ?? [];
      this.host.keep({
        overlay: chosen.includes(job.id) ? chosen.filter((id) => id !== job.id) : [...chosen, job.id],
      });
      this.changed();
    });
    return made;
  }

  private exportAs(format: 'csv' | 'tensorboard'): void {
    if (this.shown !== undefined) this.host.post({ type: 'exportJob', id: this.shown.id, format });
  }

  private savePicture(): void {
    const content = this.plot.picture();
    if (this.shown === undefined || content === undefined) return;
    this.host.post({ type: 'savePicture', name: `${this.shown.id}.png`, content });
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
      const hidden = this.host.ui.hiddenCurves ?? hiddenAtFirst;
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
    const { data } = this;
    const at = this.cursor;
    for (const [name, key] of this.keys) {
      const kind = curveKinds.find((k) => k.name === name);
      if (kind === undefined) continue;
      const value = (at === undefined ? lastValue(data, kind.name) : valueAt(data, kind.name, at))?.value;
      setText(key.value, value === undefined ? none : figure(kind, value));
    }
    const point = at ?? data.steps.length - 1;
    const step = data.steps[point];
    const gradientNorm = data.values.gradientNorm[point] ?? NaN;
    const text =
      step === undefined
        ? ''
        : stepText({
            step,
            seconds: data.seconds[point] ?? 0,
            tokensPerSecond: data.values.tokensPerSecond[point] ?? 0,
            learningRate: data.values.learningRate[point] ?? 0,
            ...(Number.isFinite(gradientNorm) ? { gradientNorm } : {}),
          });
    setText(this.step, text);
    setAttribute(this.canvas, 'aria-valuemin', String(data.steps[0] ?? 0));
    setAttribute(this.canvas, 'aria-valuemax', String(data.steps.at(-1) ?? 0));
    setAttribute(this.canvas, 'aria-valuenow', String(step ?? 0));
    setAttribute(this.canvas, 'aria-valuetext', [text, ...this.spoken(at)].join(', '));
  }

  private spoken(at: number | undefined): string[] {
    return curveKinds.flatMap((kind) => {
      const found = at === undefined ? lastValue(this.data, kind.name) : valueAt(this.data, kind.name, at);
      return found === undefined ? [] : [`${kind.label} ${figure(kind, found.value)}`];
    });
  }

  /** Arrow keys move the cursor by a step, page keys by a twentieth; with Shift they pan; + − 0 zoom. */
  private walk(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const views: Record<string, () => void> = {
      '+': () => this.plot.zoom(0.5),
      '-': () => this.plot.zoom(2),
      '0': () => this.plot.showAll(),
      ...(event.shiftKey
        ? { ArrowLeft: () => this.plot.pan(-0.2), ArrowRight: () => this.plot.pan(0.2) }
        : {}),
    };
    const view = views[event.key];
    if (view !== undefined) {
      event.preventDefault();
      view();
      return;
    }
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

function figure({ name }: CurveKind, value: number): string {
  return name === 'learningRate' || name === 'signFlips' ? formatStatistic(value) : formatLoss(value);
}

function startTime(job: Job): string {
  const date = new Date(job.started ?? job.created);
  return Number.isNaN(date.getTime())
    ? job.id
    : date.toLocaleString('en-GB', { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' });
}
