import type { MemoryPlan, MemoryPlanParams } from '../../server/protocol/memory.ts';
import { element, setText, show } from '../page/element.ts';
import { formatBytes, formatInteger } from '../page/format.ts';
import type { Host } from '../page/host.ts';
import type { PanelState } from '../page/panel-state.ts';
import { dropdown } from '../toolkit.ts';
import { partText } from './memory-text.ts';
import { contextChoices, planWords } from './plan-text.ts';

/** What a longer context or another precision of the head would take. The server is asked only while it is open. */
export class PlanView {
  readonly element = element('details', { class: 'plan' });
  private readonly context = dropdown('Context length', (value) =>
    this.ask({ contextLength: Number(value) }),
  );
  private readonly head = dropdown('Precision of the head', (value) =>
    this.ask({ headBits: value === '8' ? 8 : 16 }),
  );
  private readonly words = element('p', { class: 'plan-words', role: 'status' });
  private readonly rows = element('tbody', {});
  private readonly table = element(
    'table',
    { class: 'plan-parts' },
    element('caption', { class: 'sr-only' }, 'Bytes of each part, as loaded and as planned'),
    element(
      'thead',
      {},
      element(
        'tr',
        {},
        element('th', { scope: 'col' }, 'Part'),
        element('th', { scope: 'col', class: 'number' }, 'As loaded'),
        element('th', { scope: 'col', class: 'number' }, 'Then'),
        element('th', { scope: 'col' }, 'How'),
      ),
    ),
    this.rows,
  );
  /** The model, as loaded, that was asked about. */
  private asked = '';
  private shown: MemoryPlan | undefined;

  constructor(private readonly host: Host) {
    this.element.append(
      element('summary', {}, 'With another context or head'),
      element('div', { class: 'plan-choices' }, this.context.element, this.head.element),
      this.words,
      this.table,
    );
    this.element.open = host.ui.plan?.open === true;
    this.element.addEventListener('toggle', () => {
      this.ask({});
    });
  }

  update(state: PanelState): void {
    const status = state.memory?.model;
    const report = status?.state === 'ready' ? status.memory : undefined;
    show(this.element, report !== undefined);
    if (report === undefined || !this.element.open) return;
    const model = `${status?.model?.id ?? ''} ${report.device.kind} ${report.contextLength}`;
    if (model !== this.asked) {
      this.asked = model;
      this.request();
    }
    const { plan, error } = state.plan ?? {};
    setText(this.words, error ?? (plan === undefined ? 'Adding up…' : planWords(plan)));
    show(this.table, plan !== undefined && error === undefined);
    if (plan === undefined || plan === this.shown) return;
    this.shown = plan;
    this.context.set(
      contextChoices(plan, report.contextLength).map((tokens) => ({
        value: String(tokens),
        label: `${formatInteger(tokens)} tokens`,
      })),
      String(plan.contextLength),
    );
    show(this.head.element, plan.headBits !== undefined);
    this.head.set(
      [
        { value: '16', label: 'Head in 16 bits' },
        { value: '8', label: 'Head in 8 bits' },
      ],
      String(plan.headBits ?? 16),
    );
    this.rows.replaceChildren(
      ...plan.parts.map(({ part, nowBytes, plannedBytes, how }) =>
        element(
          'tr',
          { 'data-plan': part, class: nowBytes === plannedBytes ? '' : 'plan-changed' },
          element('th', { scope: 'row' }, partText[part].name),
          element('td', { class: 'number' }, formatBytes(nowBytes)),
          element('td', { class: 'number' }, formatBytes(plannedBytes)),
          element('td', { class: 'plan-how' }, how ?? ''),
        ),
      ),
    );
  }

  private ask(change: MemoryPlanParams): void {
    const { open } = this.element;
    const before = this.host.ui.plan;
    this.host.keep({ plan: { ...before, ...change, open } });
    if (open) this.request();
    // What was open when it was closed may have changed when it opens again.
    else this.asked = '';
  }

  private request(): void {
    const { contextLength, headBits } = this.host.ui.plan ?? {};
    this.host.post({ type: 'planMemory', params: { contextLength, headBits } });
  }
}
