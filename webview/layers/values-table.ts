import { element } from '../page/element.ts';

/** A small table of figures with a caption. A cell may be a text or an element. */
export function valuesTable(
  caption: string,
  heads: string[],
  rows: (string | HTMLElement)[][],
): HTMLTableElement {
  return element(
    'table',
    { class: 'values-table' },
    element('caption', {}, caption),
    element('thead', {}, element('tr', {}, ...heads.map((head) => element('th', { scope: 'col' }, head)))),
    element(
      'tbody',
      {},
      ...rows.map((cells) => element('tr', {}, ...cells.map((cell) => element('td', {}, cell)))),
    ),
  );
}
