import type { TensorStatistics } from '../../server/protocol/checkpoint-file.ts';
import { element } from '../page/element.ts';
import { formatInteger, formatPercent } from '../page/format.ts';

const namespace = 'http://www.w3.org/2000/svg';
const width = 480;
const half = 70;
/** Powers of two that are drawn; smaller ones are put together. */
const most = 40;

/**
 * How many values have which size, by powers of two: positive ones upwards, negative ones downwards.
 * @returns a caption and a picture with a text in its place; nothing where all values are zero
 */
export function magnitudeChart({ magnitudes, count }: TensorStatistics): HTMLElement[] {
  if (magnitudes.length === 0) return [];
  const bins = shortened(magnitudes);
  const top = Math.max(...bins.map(({ negative, positive }) => Math.max(negative, positive)));
  const step = width / Math.max(8, bins.length);
  const svg = document.createElementNS(namespace, 'svg');
  svg.setAttribute('viewBox', `0 0 ${width} ${2 * half + 1}`);
  svg.setAttribute('class', 'magnitude-chart');
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', chartText(bins, count));
  bins.forEach(({ power, negative, positive }, i) => {
    const [up, down] = [(half * positive) / top, (half * negative) / top];
    svg.append(
      bar('magnitude-positive', i * step, half - up, step, up, `${range(power)}: ${formatInteger(positive)}`),
      bar(
        'magnitude-negative',
        i * step,
        half + 1,
        step,
        down,
        `−${range(power)}: ${formatInteger(negative)}`,
      ),
    );
  });
  const [first, last] = [bins[0], bins.at(-1)];
  return [
    element(
      'p',
      { class: 'note' },
      'Values by size, in powers of two: positive above the line, negative below',
    ),
    svg as unknown as HTMLElement,
    element(
      'p',
      { class: 'magnitude-ends note', 'aria-hidden': 'true' },
      element('span', {}, `2^${first?.power ?? 0}`),
      element('span', {}, `2^${(last?.power ?? 0) + 1}`),
    ),
  ];
}

type Bin = TensorStatistics['magnitudes'][number];

/** The largest sizes one by one, everything below them in the first. */
export function shortened(magnitudes: readonly Bin[]): Bin[] {
  const cut = magnitudes.length - most;
  if (cut <= 0) return [...magnitudes];
  const [small, rest] = [magnitudes.slice(0, cut + 1), magnitudes.slice(cut + 1)];
  const sum = (side: 'negative' | 'positive') => small.reduce((total, bin) => total + bin[side], 0);
  return [{ power: small.at(-1)?.power ?? 0, negative: sum('negative'), positive: sum('positive') }, ...rest];
}

function chartText(bins: readonly Bin[], count: number): string {
  const largest = bins.reduce((a, b) => (b.negative + b.positive > a.negative + a.positive ? b : a));
  const [first, last] = [bins[0], bins.at(-1)];
  const share = formatPercent((largest.negative + largest.positive) / count);
  return `Values by size: from 2^${first?.power ?? 0} to 2^${(last?.power ?? 0) + 1}; most, ${share}, at ${range(largest.power)}.`;
}

function range(power: number): string {
  return `2^${power} … 2^${power + 1}`;
}

function bar(name: string, x: number, y: number, step: number, height: number, text: string): SVGElement {
  const rect = document.createElementNS(namespace, 'rect');
  const attributes = { class: name, x, y, width: Math.max(0.5, step - 1), height };
  for (const [key, value] of Object.entries(attributes)) rect.setAttribute(key, String(value));
  const title = document.createElementNS(namespace, 'title');
  title.textContent = text;
  rect.append(title);
  return rect;
}
