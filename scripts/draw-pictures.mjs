// Draws the project's pictures: media/icon.svg (and icon.png from it, with chromium), media/activity.svg, and those of
// the walkthrough. All show the same matrix of signs with its two value vectors, h on the left and g on top.
// Run it after changing it; the pictures are committed.
import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureChromium, findChromium } from '../test/workbench/setup.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const media = join(root, 'media');
const signs = ['+-++-+', '-++-+-', '++-+-+', '-+-++-', '+-+--+', '-++-++'];
const iconSize = 256; // pixels

const rect = (x, y, width, height, fill, rest = '') =>
  `<rect x="${x}" y="${y}" width="${width}" height="${height}" fill="${fill}"${rest}/>`;
const svg = (width, height, body) =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">\n${body.flat(Infinity).join('\n')}\n</svg>\n`;
const text = (x, y, fill, content, rest = '') =>
  `<text x="${x}" y="${y}" fill="${fill}" font-family="monospace" font-size="15"${rest}>${content}</text>`;

/** Signs as cells of `cell` units from (x, y) on; the first row is g, the first column h. */
function matrix(x, y, cell, { plus, minus, vector }, rounded = 3) {
  const at = (row, column, fill) =>
    rect(x + column * cell + 1, y + row * cell + 1, cell - 2, cell - 2, fill, ` rx="${rounded}"`);
  return [
    signs.flatMap((row, r) => [...row].map((sign, c) => at(r + 1, c + 1, sign === '+' ? plus : minus))),
    signs.map((_, i) => [at(0, i + 1, vector), at(i + 1, 0, vector)]),
  ];
}

const own = { plus: '#5cc8ff', minus: '#30405e', vector: '#ffb84c' };
// Pictures of the walkthrough follow the theme.
const themed = {
  plus: 'var(--vscode-charts-blue, #3794ff)',
  minus: 'var(--vscode-editorWidget-border, #8888)',
  vector: 'var(--vscode-charts-orange, #d18616)',
};
const foreground = 'var(--vscode-foreground, #888)';
const faint = 'var(--vscode-descriptionForeground, #888)';
const ghost = 'var(--vscode-editorGhostText-foreground, #8888)';

const icon = svg(128, 128, [rect(0, 0, 128, 128, '#181e2c', ' rx="24"'), matrix(12, 12, 15, own)]);

// VS Code takes the shape of it only: a mask, drawn in the colour of the activity bar.
const activity = svg(24, 24, [
  [0, 1, 2].map((i) => [
    rect(8.5 + 5 * i, 2, 4, 3.5, 'currentColor', ' rx="0.8"'),
    rect(2, 8.5 + 5 * i, 3.5, 4, 'currentColor', ' rx="0.8"'),
  ]),
  ['+-+', '-++', '+--'].map((row, r) =>
    [...row].map((sign, c) =>
      sign === '+'
        ? rect(8.5 + 5 * c, 8.5 + 5 * r, 4, 4, 'currentColor', ' rx="0.8"')
        : rect(9 + 5 * c, 9 + 5 * r, 3, 3, 'none', ' rx="0.6" stroke="currentColor"'),
    ),
  ),
]);

const model = svg(420, 320, [
  matrix(112, 40, 28, themed, 5),
  text(226, 30, faint, 'g', ' text-anchor="middle"'),
  text(96, 170, faint, 'h', ' text-anchor="middle"'),
  text(212, 276, foreground, 'W ≈ S ⊙ (h gᵀ)', ' text-anchor="middle"'),
  text(212, 300, faint, 'one bit a weight, two vectors', ' text-anchor="middle"'),
]);

const code = ['function sum(values: number[]) {', '  let total = 0;', '  for (const value of values) {'];
const completion = svg(420, 320, [
  [...code, '    total += value;', '  }'].map((line, i) =>
    text(48, 96 + 26 * i, foreground, line, ' xml:space="preserve"'),
  ),
  `<text x="48" y="226" font-family="monospace" font-size="15" xml:space="preserve" fill="${foreground}">  return<tspan fill="${ghost}"> total;</tspan></text>`,
  rect(122, 212, 1.5, 18, foreground),
]);

const shares = [0.9, 0.5, 0.7, 0.35, 0.8, 0.6];
const layer = svg(420, 320, [
  shares.map((share, i) => [
    rect(36, 72 + 30 * i, 54, 10, faint, ' rx="3" opacity="0.6"'),
    rect(102, 72 + 30 * i, 78 * share, 10, i === 2 ? themed.plus : faint, ' rx="3"'),
  ]),
  rect(28, 122, 160, 30, 'none', ` rx="4" stroke="${themed.plus}"`),
  `<path d="M188 137 L222 84 M188 137 L222 220" stroke="${themed.plus}" fill="none"/>`,
  matrix(224, 78, 22, themed, 3),
]);

const numbers = ['0.31', '−0.72', '0.18', '−0.05', '0.44', '−0.61', '0.27', '0.09', '−0.36'];
const quantize = svg(420, 320, [
  numbers.map((number, i) =>
    text(
      70 + 54 * (i % 3),
      130 + 34 * Math.floor(i / 3),
      foreground,
      number,
      ' text-anchor="middle" font-size="13"',
    ),
  ),
  `<path d="M206 158 H240 M232 150 L240 158 L232 166" stroke="${foreground}" fill="none" stroke-width="2"/>`,
  matrix(252, 88, 20, themed, 3),
  text(70 + 54, 236, faint, '16 bits each', ' text-anchor="middle"'),
  text(332, 252, faint, '1 bit each', ' text-anchor="middle"'),
]);

mkdirSync(join(media, 'walkthrough'), { recursive: true });
const pictures = { icon, activity };
for (const [name, drawn] of Object.entries(pictures)) writeFileSync(join(media, `${name}.svg`), drawn);
for (const [name, drawn] of Object.entries({ model, completion, layer, quantize })) {
  writeFileSync(join(media, 'walkthrough', `${name}.svg`), drawn);
}

ensureChromium();
const { chromium } = createRequire(join(root, 'test', 'workbench', 'package.json'))('playwright-core');
const browser = await chromium.launch({
  executablePath: findChromium(),
  args: ['--no-sandbox', '--disable-gpu'],
});
try {
  const page = await browser.newPage({ viewport: { width: iconSize, height: iconSize } });
  const sized = icon.replace(
    'width="128" height="128" viewBox',
    `width="${iconSize}" height="${iconSize}" viewBox`,
  );
  await page.setContent(`<style>body{margin:0}svg{display:block}</style>${sized}`);
  await page.screenshot({ path: join(media, 'icon.png'), omitBackground: true });
  // To look at: the walkthrough's pictures as they are without a theme.
  if (process.argv.includes('--preview')) {
    await page.setViewportSize({ width: 880, height: 700 });
    await page.setContent(
      `<body style="background:#fff">${[model, completion, layer, quantize, activity].join('')}`,
    );
    await page.screenshot({ path: join(root, 'test', 'output', 'walkthrough.png') });
  }
} finally {
  await browser.close();
}
