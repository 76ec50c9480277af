import { formatDuration } from '../../server/protocol/duration.ts';
import type { MemoryPart, MemoryReport } from '../../server/protocol/memory.ts';
import { element, setAttribute, setText, show } from '../page/element.ts';
import { formatBytes, formatInteger, formatRatio, none, unbroken } from '../page/format.ts';
import type { Host } from '../page/host.ts';
import { deviceNotes, deviceText, isRuntimePart, partText, shrink } from './memory-text.ts';
import type { PanelState } from '../page/panel-state.ts';
import { MemoryChart } from './memory-chart.ts';
import { PlanView } from './plan-view.ts';
import { notice, section } from '../page/section.ts';
import { button, progressRing } from '../toolkit.ts';

interface Row {
  element: HTMLElement;
  packedBar: HTMLElement;
  fp16Bar: HTMLElement;
  packed: HTMLElement;
  fp16: HTMLElement;
  ratio: HTMLElement;
}

interface Figure {
  element: HTMLElement;
  value: HTMLElement;
  detail: HTMLElement;
}

/** How much memory the model takes, part by part, against what it would take in fp16. */
export class FootprintView {
  readonly element: HTMLElement;
  private readonly unload = button('Unload', () => this.host.post({ type: 'unloadModel' }), {
    description: 'Unload the model and free its memory',
  });
  private readonly choose = button('Choose Model…', () => this.host.post({ type: 'chooseModel' }));
  private readonly notice = notice(progressRing);
  private readonly figures = {
    model: figure('Model'),
    bits: figure('Bits per linear weight'),
    cache: figure('KV cache'),
    ram: figure('In RAM'),
    gpu: figure('In GPU memory'),
    process: figure('Server process'),
    device: figure('Device'),
  };
  private readonly chart = new MemoryChart();
  private readonly plan: PlanView;
  private readonly deviceNotes = element('p', { class: 'device-notes' });
  private readonly figureList: HTMLElement;
  private readonly table: HTMLElement;
  private readonly rows = new Map<string, Row>();
  private readonly modelRows = element('tbody', { role: 'rowgroup' });
  private readonly totalRow = makeRow('Model', 'All of the above', 'total');
  private readonly runtimeRows = element('tbody', { role: 'rowgroup' });

  constructor(private readonly host: Host) {
    const made = section('Memory', 'memory');
    this.element = made.element;
    made.tools.append(this.unload, this.choose);
    this.figureList = element(
      'dl',
      { class: 'figures' },
      ...Object.values(this.figures).map((f) => f.element),
    );
    // The roles are those of a table by itself; they stand here because the narrow layout takes them away.
    this.table = element(
      'table',
      { class: 'parts', role: 'table' },
      element('caption', { class: 'sr-only' }, 'Bytes of each part of the model, packed and in fp16'),
      element(
        'thead',
        { role: 'rowgroup' },
        element(
          'tr',
          { role: 'row' },
          element('th', { role: 'columnheader' }, 'Part'),
          element(
            'th',
            { role: 'columnheader', class: 'part-bars' },
            element('span', { class: 'swatch swatch-packed', 'aria-hidden': 'true' }),
            'in memory ',
            element('span', { class: 'swatch swatch-fp16', 'aria-hidden': 'true' }),
            'in fp16',
          ),
          element('th', { role: 'columnheader', class: 'number' }, 'In memory'),
          element('th', { role: 'columnheader', class: 'number' }, 'fp16'),
          element('th', { role: 'columnheader', class: 'number' }, 'Smaller'),
        ),
      ),
      this.modelRows,
      element('tbody', { role: 'rowgroup', class: 'part-total' }, this.totalRow.element),
      this.runtimeRows,
    );
    this.plan = new PlanView(host);
    made.body.append(
      this.notice.element,
      this.figureList,
      this.deviceNotes,
      this.chart.element,
      this.table,
      this.plan.element,
    );
  }

  update(state: PanelState): void {
    const status = state.memory?.model;
    const report = status?.state === 'ready' ? status.memory : undefined;
    show(this.unload, report !== undefined);
    show(this.choose, report !== undefined);
    show(this.figureList, state.memory !== undefined);
    show(this.table, report !== undefined);
    const notes = report === undefined ? '' : deviceNotes(report).join(' ');
    setText(this.deviceNotes, notes);
    show(this.deviceNotes, notes !== '');
    this.showNotice(state);
    this.showProcess(state);
    show(this.chart.element, state.memory !== undefined);
    if (state.memory !== undefined) this.chart.update(state.readings ?? []);
    this.plan.update(state);
    for (const name of ['model', 'bits', 'cache', 'ram', 'gpu', 'device'] as const) {
      show(this.figures[name].element, report !== undefined);
    }
    if (report !== undefined) {
      this.showFigures(report);
      this.showParts(report);
    }
  }

  private showNotice(state: PanelState): void {
    const status = state.memory?.model;
    const chooseModel = () => button('Choose Model…', () => this.host.post({ type: 'chooseModel' }));
    const load = (model: string, label: string) => () => [
      button(label, () => this.host.post({ type: 'loadModel', model }), { primary: true }),
      chooseModel(),
    ];
    const loaded = status?.model;
    if (status === undefined) {
      this.notice.set({ key: 'wait', title: 'Reading the memory of the server…', busy: true });
    } else if (status.state === 'loading') {
      const percent = status.progress === undefined ? '' : ` ${Math.round(status.progress * 100)}%`;
      this.notice.set({
        key: 'loading',
        title: `Loading ${loaded?.name ?? 'the model'}…${percent}`,
        busy: true,
      });
    } else if (status.state === 'failed') {
      this.notice.set({
        key: `failed ${loaded?.id ?? ''}`,
        title: `${loaded?.name ?? 'The model'} could not be loaded`,
        text: status.error,
        tone: 'error',
        actions: loaded === undefined ? () => [chooseModel()] : load(loaded.id, 'Try Again'),
      });
    } else if (status.state === 'unloaded' && loaded !== undefined) {
      this.notice.set({
        key: `unloaded ${loaded.id}`,
        title: `${loaded.name} is not in memory`,
        text: 'It loads by itself at the next completion.',
        actions: load(loaded.id, 'Load Now'),
      });
    } else if (status.state === 'ready') {
      this.notice.set(undefined);
    } else {
      this.notice.set({
        key: 'none',
        title: 'No model is loaded',
        text: 'The starter model comes with OneBit and works offline.',
        actions: load('starter', 'Load Starter Model'),
      });
    }
  }

  private showProcess(state: PanelState): void {
    if (state.memory === undefined) return;
    const { rssBytes, heapBytes, uptimeSeconds } = state.memory.process;
    const { process } = this.figures;
    setText(process.value, formatBytes(rssBytes));
    setText(
      process.detail,
      `${unbroken(`heap ${formatBytes(heapBytes)}`)}, ${unbroken(`up ${formatDuration(uptimeSeconds)}`)}`,
    );
  }

  private showFigures(report: MemoryReport): void {
    const { model, bits, cache, device } = this.figures;
    const ratio = shrink(report.modelBytes, report.fp16ModelBytes);
    setText(model.value, formatBytes(report.modelBytes));
    setText(
      model.detail,
      ratio === undefined
        ? ''
        : `${unbroken(`${formatBytes(report.fp16ModelBytes)} in fp16`)}, ${unbroken(`${formatRatio(ratio)} as much`)}`,
    );
    const linear = report.bitsPerLinearWeight;
    setText(bits.value, Number.isFinite(linear) && linear > 0 ? linear.toFixed(2) : none);
    setText(
      bits.detail,
      ratio === undefined ? 'fp16 has 16' : `${(16 / ratio).toFixed(2)} over the whole model`,
    );
    this.showPlaces(report);
    setText(cache.value, formatBytes(report.kvCacheBytes));
    setText(cache.detail, `${formatInteger(report.contextLength)} tokens of context`);
    const words = deviceText(report.device);
    setText(device.value, words.kind);
    setText(device.detail, words.detail);
  }

  /** Where the parts are, and how much of each memory they take together. */
  private showPlaces({ parts }: MemoryReport): void {
    const { ram, gpu } = this.figures;
    for (const [place, shown] of [
      ['ram', ram],
      ['gpu', gpu],
    ] as const) {
      const there = parts.filter((part) => part.place === place);
      show(shown.element, there.length > 0);
      setText(shown.value, formatBytes(there.reduce((sum, { bytes }) => sum + bytes, 0)));
      setText(shown.detail, there.length === parts.length ? 'all parts' : there.map(partName).join(', '));
    }
  }

  private showParts(report: MemoryReport): void {
    // One scale for all rows, the sum's too: bars can be compared from row to row.
    const sums = [report.modelBytes, report.fp16ModelBytes];
    const largest = Math.max(1, ...sums, ...report.parts.flatMap((part) => [part.bytes, part.fp16Bytes]));
    const place = (parent: HTMLElement, parts: MemoryPart[]) => {
      const wanted = parts.map((part) => {
        const text = partText[part.part];
        const row = this.rows.get(part.part) ?? makeRow(text.name, text.description, part.part);
        this.rows.set(part.part, row);
        fillRow(row, part.bytes, part.fp16Bytes, largest);
        return row.element;
      });
      if (wanted.length !== parent.children.length || wanted.some((row, i) => row !== parent.children[i])) {
        parent.replaceChildren(...wanted);
      }
    };
    place(
      this.modelRows,
      report.parts.filter((part) => !isRuntimePart(part)),
    );
    place(this.runtimeRows, report.parts.filter(isRuntimePart));
    fillRow(this.totalRow, report.modelBytes, report.fp16ModelBytes, largest);
  }
}

function partName({ part }: MemoryPart): string {
  return partText[part].name;
}

function figure(label: string): Figure {
  const value = element('span', { class: 'figure-value' });
  const detail = element('span', { class: 'figure-detail' });
  return {
    element: element('div', { class: 'figure' }, element('dt', {}, label), element('dd', {}, value, detail)),
    value,
    detail,
  };
}

function makeRow(name: string, description: string, part: string): Row {
  const packedBar = element('div', { class: 'bar bar-packed' });
  const fp16Bar = element('div', { class: 'bar bar-fp16' });
  const packed = element('td', { role: 'cell', class: 'number' });
  const fp16 = element('td', { role: 'cell', class: 'number' });
  const ratio = element('td', { role: 'cell', class: 'number' });
  return {
    element: element(
      'tr',
      { role: 'row', 'data-part': part },
      element('th', { role: 'rowheader', title: description }, name),
      element('td', { role: 'cell', class: 'part-bars' }, packedBar, fp16Bar),
      packed,
      fp16,
      ratio,
    ),
    packedBar,
    fp16Bar,
    packed,
    fp16,
    ratio,
  };
}

function fillRow(row: Row, bytes: number, fp16Bytes: number, largest: number): void {
  setBar(row.packedBar, bytes / largest);
  setBar(row.fp16Bar, fp16Bytes / largest);
  setText(row.packed, formatBytes(bytes));
  setText(row.fp16, fp16Bytes > 0 ? formatBytes(fp16Bytes) : none);
  const ratio = shrink(bytes, fp16Bytes);
  setText(row.ratio, ratio === undefined ? none : formatRatio(ratio));
}

/** Something there is always to be seen: at least a hair's width. */
function setBar(bar: HTMLElement, share: number): void {
  setAttribute(bar, 'hidden', share <= 0);
  const width = `max(${(share * 100).toFixed(3)}%, 2px)`;
  if (bar.style.width !== width) bar.style.width = width;
}
