import { element, setAttribute, show } from './element.ts';
import type { PanelState } from './panel-state.ts';

/** A part of the page that shows the state. `update` is called only while the part can be seen. */
export interface View {
  readonly element: HTMLElement;
  update(state: PanelState): void;
}

export const tabIds = ['footprint', 'runs', 'layers'] as const;
export type TabId = (typeof tabIds)[number];

export interface Tab {
  id: TabId;
  label: string;
  views: View[];
}

interface Made {
  tab: Tab;
  button: HTMLElement;
  panel: HTMLElement;
}

/**
 * The page's tabs (the WAI-ARIA pattern with automatic activation): arrow keys, Home and End go from tab to tab.
 * Own elements rather than the toolkit's `vscode-panels`, which draws a strip that does not wrap or shrink.
 */
export class Tabs {
  readonly list = element('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Views' });
  readonly panels: HTMLElement;
  private readonly made: Made[];

  /** `onChoose` hears of every change; the caller then updates. */
  constructor(
    tabs: Tab[],
    private chosen: TabId,
    private readonly onChoose: (id: TabId) => void,
  ) {
    this.made = tabs.map((tab) => this.make(tab));
    this.list.append(...this.made.map(({ button }) => button));
    this.panels = element('div', { class: 'page-body' }, ...this.made.map(({ panel }) => panel));
    this.list.addEventListener('keydown', (event) => this.walk(event));
    this.mark();
  }

  get current(): TabId {
    return this.chosen;
  }

  choose(id: TabId): void {
    if (id === this.chosen) return;
    this.chosen = id;
    this.mark();
    this.onChoose(id);
  }

  /** Draws the chosen tab; the others are not touched. */
  update(state: PanelState): void {
    for (const view of this.made.find(({ tab }) => tab.id === this.chosen)?.tab.views ?? []) {
      view.update(state);
    }
  }

  private make(tab: Tab): Made {
    const [tabId, panelId] = [`tab-${tab.id}`, `panel-${tab.id}`];
    const button = element(
      'button',
      { class: 'tab', type: 'button', role: 'tab', id: tabId, 'aria-controls': panelId },
      tab.label,
    );
    button.addEventListener('click', () => this.choose(tab.id));
    const panel = element(
      'div',
      { class: 'tab-panel', role: 'tabpanel', id: panelId, 'aria-labelledby': tabId },
      ...tab.views.map((view) => view.element),
    );
    return { tab, button, panel };
  }

  private mark(): void {
    for (const { tab, button, panel } of this.made) {
      const chosen = tab.id === this.chosen;
      setAttribute(button, 'aria-selected', String(chosen));
      // One stop for the Tab key; the arrow keys do the rest.
      setAttribute(button, 'tabindex', chosen ? '0' : '-1');
      show(panel, chosen);
    }
  }

  private walk(event: KeyboardEvent): void {
    const last = this.made.length - 1;
    const at = this.made.findIndex(({ tab }) => tab.id === this.chosen);
    const moves: Record<string, number> = {
      ArrowLeft: at === 0 ? last : at - 1,
      ArrowRight: at === last ? 0 : at + 1,
      Home: 0,
      End: last,
    };
    const to = this.made[moves[event.key] ?? -1];
    if (to === undefined) return;
    event.preventDefault();
    this.choose(to.tab.id);
    to.button.focus();
  }
}
