import { element } from './element.ts';

export interface Section {
  element: HTMLElement;
  /** Right of the heading. */
  tools: HTMLElement;
  body: HTMLElement;
}

/** A part of the panel: heading, tools beside it, body. */
export function section(title: string, id: string): Section {
  const tools = element('div', { class: 'section-tools' });
  const body = element('div', { class: 'section-body' });
  const headingId = `${id}-heading`;
  return {
    element: element(
      'section',
      { class: `section section-${id}`, 'aria-labelledby': headingId },
      element('div', { class: 'section-head' }, element('h2', { id: headingId }, title), tools),
      body,
    ),
    tools,
    body,
  };
}

export interface Notice {
  element: HTMLElement;
  set(content: NoticeContent | undefined): void;
}

export interface NoticeContent {
  /** Repaints only when this changes, so that a button in focus stays in focus. */
  key: string;
  title: string;
  text?: string;
  tone?: 'plain' | 'error';
  busy?: boolean;
  actions?: () => HTMLElement[];
}

/** What stands in the place of a picture that there is not: why, and the button that helps. */
export function notice(busyMark: () => HTMLElement): Notice {
  const box = element('div', { class: 'notice' });
  box.hidden = true;
  let shown: string | undefined;
  const title = element('p', { class: 'notice-title' });
  const text = element('p', { class: 'notice-text' });
  return {
    element: box,
    set: (content) => {
      box.hidden = content === undefined;
      if (content === undefined) {
        shown = undefined;
        return;
      }
      title.textContent = content.title;
      text.textContent = content.text ?? '';
      text.hidden = content.text === undefined;
      if (content.key === shown) return;
      shown = content.key;
      box.className = content.tone === 'error' ? 'notice notice-error' : 'notice';
      const actions = content.actions?.() ?? [];
      box.replaceChildren(
        ...(content.busy === true ? [busyMark()] : []),
        element('div', { class: 'notice-words' }, title, text),
        ...(actions.length > 0 ? [element('div', { class: 'notice-actions' }, ...actions)] : []),
      );
    },
  };
}
