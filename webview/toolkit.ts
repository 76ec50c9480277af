/**
 * The one door to @vscode/webview-ui-toolkit, which its authors no longer develop: whoever exchanges
 * it changes this file and nothing else.
 */
import {
  provideVSCodeDesignSystem,
  vsCodeButton,
  vsCodeCheckbox,
  vsCodeDataGrid,
  vsCodeDataGridCell,
  vsCodeDataGridRow,
  vsCodeDropdown,
  vsCodeOption,
  vsCodeProgressRing,
} from '@vscode/webview-ui-toolkit';
import { arrange, element, setAttribute } from './page/element.ts';

/** Defines the custom elements; call it once, before anything is drawn. */
export function registerToolkit(): void {
  provideVSCodeDesignSystem().register(
    vsCodeButton(),
    vsCodeCheckbox(),
    vsCodeDataGrid(),
    vsCodeDataGridCell(),
    vsCodeDataGridRow(),
    vsCodeDropdown(),
    vsCodeOption(),
    vsCodeProgressRing(),
  );
}

export function button(
  label: string,
  onClick: () => void,
  options: { primary?: boolean; description?: string } = {},
): HTMLElement {
  const made = element(
    'vscode-button',
    { appearance: options.primary === true ? 'primary' : 'secondary', 'aria-label': options.description },
    label,
  );
  made.addEventListener('click', onClick);
  return made;
}

/** Something goes on for an unknown time. The words beside it say what: it is hidden from screen readers. */
export function progressRing(): HTMLElement {
  return element('vscode-progress-ring', { 'aria-hidden': 'true' });
}

export interface Checkbox {
  element: HTMLElement;
  set(checked: boolean): void;
}

export function checkbox(label: string, onChange: (checked: boolean) => void): Checkbox {
  const made = element('vscode-checkbox', {}, label) as HTMLElement & { checked: boolean };
  made.addEventListener('change', () => onChange(made.checked));
  return {
    element: made,
    set: (checked) => {
      if (made.checked !== checked) made.checked = checked;
    },
  };
}

export interface Choice {
  value: string;
  label: string;
  description?: string;
}

export interface Dropdown {
  element: HTMLElement;
  /** The choices and the chosen one; options that stay keep their elements, so that an open list stays open. */
  set(choices: Choice[], value: string): void;
}

export function dropdown(label: string, onChange: (value: string) => void): Dropdown {
  const made = element('vscode-dropdown', { 'aria-label': label }) as HTMLElement & { value: string };
  const options = new Map<string, HTMLElement>();
  made.addEventListener('change', () => onChange(made.value));
  return {
    element: made,
    set: (choices, value) => {
      for (const known of [...options.keys()]) {
        if (!choices.some((choice) => choice.value === known)) options.delete(known);
      }
      arrange(
        made,
        choices.map((choice) => {
          const option = options.get(choice.value) ?? element('vscode-option', { value: choice.value });
          options.set(choice.value, option);
          if (option.textContent !== choice.label) option.textContent = choice.label;
          setAttribute(option, 'title', choice.description);
          return option;
        }),
      );
      // The dropdown looks at its options in a later task: set the value after that.
      queueMicrotask(() => {
        if (made.value !== value) made.value = value;
      });
    },
  };
}

/** A grid whose cells are walked with the arrow keys. Rows and cells are made by `gridRow`. */
export function dataGrid(label: string): HTMLElement {
  return element('vscode-data-grid', { 'generate-header': 'none', 'aria-label': label });
}

export function gridRow(header: boolean): HTMLElement {
  return element('vscode-data-grid-row', { 'row-type': header ? 'header' : 'default' });
}

export function gridCell(column: number, header: boolean, text: string): HTMLElement {
  return element(
    'vscode-data-grid-cell',
    { 'cell-type': header ? 'columnheader' : 'default', 'grid-column': String(column + 1) },
    text,
  );
}

/** CSS grid tracks, one a column, such as `minmax(80px, 1fr)`. */
export function setGridTracks(grid: HTMLElement, tracks: string[]): void {
  setAttribute(grid, 'grid-template-columns', tracks.join(' '));
}
