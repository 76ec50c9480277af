import { element } from '../page/element.ts';
import type { Host } from '../page/host.ts';
import { button } from '../toolkit.ts';
import { type Drawing, drawingPng, drawingSvg, imageSvg, pngOf } from './drawing.ts';
import type { DrawingColours } from './layer-drawings.ts';
import { themeColour } from './theme-colour.ts';

/** What can be saved; undefined while there is nothing. */
export interface Exports {
  /** Of the files, without an ending. */
  name: string;
  csv?: () => string | undefined;
  json?: () => unknown;
  drawing?: () => Drawing | undefined;
  /** Of a picture that is no drawing. */
  canvas?: HTMLCanvasElement;
}

/** Buttons that save tables as CSV and JSON, pictures as PNG and SVG, where the window's dialog says. */
export function exportButtons(
  host: Host,
  what: string,
  kinds: ('csv' | 'json' | 'png' | 'svg')[],
  current: () => Exports | undefined,
): HTMLElement {
  const save = (kind: (typeof kinds)[number]): void => {
    const exports = current();
    if (exports === undefined) return;
    const name = `${exports.name.replace(/[^\w.-]+/g, '-')}.${kind}`;
    const text = (content: string | undefined) => {
      if (content !== undefined) host.post({ type: 'saveText', name, content });
    };
    switch (kind) {
      case 'csv':
        return text(exports.csv?.());
      case 'json': {
        const value = exports.json?.();
        return text(value === undefined ? undefined : `${JSON.stringify(value, undefined, 2)}\n`);
      }
      case 'svg':
        return text(svgOf(exports));
      case 'png': {
        const content = pngOfExports(exports);
        if (content !== undefined) host.post({ type: 'savePicture', name, content });
      }
    }
  };
  return element(
    'div',
    { class: 'exports', role: 'group', 'aria-label': `Save ${what}` },
    ...kinds.map((kind) => {
      const label = `${kind.toUpperCase()}…`;
      return button(label, () => save(kind), { description: `${label}: save ${what}` });
    }),
  );
}

function pngOfExports({ drawing, canvas }: Exports): string | undefined {
  if (canvas !== undefined) return pngOf(canvas);
  const made = drawing?.();
  return made && drawingPng(made);
}

function svgOf(exports: Exports): string | undefined {
  const { drawing, canvas } = exports;
  const png = canvas && pngOf(canvas);
  if (canvas !== undefined && png !== undefined) return imageSvg(png, canvas.width, canvas.height);
  const made = drawing?.();
  return made && drawingSvg(made);
}

/** The theme's colours as they are now. */
export function drawingColours(): DrawingColours {
  return {
    background: themeColour('--vscode-editor-background'),
    text: themeColour('--vscode-foreground'),
    faint: themeColour('--vscode-descriptionForeground', '--vscode-foreground'),
    high: themeColour('--vscode-charts-blue', '--vscode-foreground'),
    low: themeColour('--vscode-charts-red', '--vscode-errorForeground'),
  };
}
