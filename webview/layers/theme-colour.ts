/** 0..255 each. */
export type Rgb = [red: number, green: number, blue: number];

let context: CanvasRenderingContext2D | undefined;

/** A theme's colour as 0..255 each, whatever way it is written; the first variable that the theme has. */
export function themeColour(...variables: string[]): Rgb {
  const style = getComputedStyle(document.body);
  const written = variables.map((name) => style.getPropertyValue(name).trim()).find((text) => text !== '');
  context ??= makeContext();
  if (context === undefined) return [128, 128, 128];
  context.clearRect(0, 0, 1, 1);
  context.fillStyle = written ?? style.color;
  context.fillRect(0, 0, 1, 1);
  const [red = 0, green = 0, blue = 0] = context.getImageData(0, 0, 1, 1).data;
  return [red, green, blue];
}

export function cssColour([red, green, blue]: Rgb): string {
  return `rgb(${red} ${green} ${blue})`;
}

function makeContext(): CanvasRenderingContext2D | undefined {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 1;
  return canvas.getContext('2d', { willReadFrequently: true }) ?? undefined;
}

/** Calls back when VS Code writes another theme into the page. */
export function onThemeChange(changed: () => void): void {
  const observer = new MutationObserver(changed);
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ['style'] });
  observer.observe(document.body, { attributes: true, attributeFilter: ['class'] });
}

/**
 * 256 colours (RGBA, little endian) for a tile's int8 cells, index `cell & 255`: from −1 over the background to +1,
 * or from none to all that differ. Means of many signs are near zero: `gain` times larger they can be told apart.
 */
export function cellColours(difference: boolean, gain: number): Uint32Array {
  const zero = themeColour('--vscode-editor-background');
  const plus = difference
    ? themeColour('--vscode-charts-red', '--vscode-errorForeground')
    : themeColour('--vscode-charts-blue', '--vscode-foreground');
  const minus = difference ? zero : themeColour('--vscode-charts-orange', '--vscode-descriptionForeground');
  const colours = new Uint32Array(256);
  for (let cell = -128; cell < 128; cell++) {
    const share = Math.min(1, (Math.abs(cell) / 127) * gain);
    const end = cell < 0 ? minus : plus;
    const [red, green, blue] = zero.map((from, i) => Math.round(from + ((end[i] ?? from) - from) * share));
    colours[cell & 255] = ((255 << 24) | ((blue ?? 0) << 16) | ((green ?? 0) << 8) | (red ?? 0)) >>> 0;
  }
  return colours;
}
