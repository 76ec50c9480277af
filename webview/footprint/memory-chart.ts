import { formatDuration } from '../../server/protocol/duration.ts';
import type { MemoryReading } from '../../server/protocol/memory-readings.ts';
import { element, setAttribute, setText, show } from '../page/element.ts';
import { formatBytes } from '../page/format.ts';

/** Units of the drawing: it is stretched over the width that there is. */
const width = 600;
const height = 48;

/** What the server took over the time that the panel saw, as two lines: its process in RAM, its buffers on the GPU. */
export class MemoryChart {
  readonly element: HTMLElement;
  private readonly picture = svg('svg', {
    viewBox: `0 0 ${width} ${height}`,
    preserveAspectRatio: 'none',
    class: 'memory-chart',
    role: 'img',
  });
  private readonly ram = svg('path', { class: 'memory-ram' });
  private readonly gpu = svg('path', { class: 'memory-gpu' });
  private readonly most = element('span', {});
  private readonly span = element('span', {});
  private readonly gpuKey = element('span', { class: 'memory-key memory-key-gpu' }, 'GPU memory');

  constructor() {
    this.picture.append(this.ram, this.gpu);
    this.element = element(
      'div',
      { class: 'memory-over-time' },
      element(
        'p',
        { class: 'note memory-caption' },
        element('span', { class: 'memory-key memory-key-ram' }, 'Server process'),
        this.gpuKey,
        this.most,
        this.span,
      ),
    );
    this.element.append(this.picture);
  }

  update(readings: readonly MemoryReading[]): void {
    const { ram, gpu, words, most, span, onGpu } = memoryLines(readings);
    setAttribute(this.ram, 'd', ram);
    setAttribute(this.gpu, 'd', gpu);
    setAttribute(this.picture, 'aria-label', words);
    setText(this.most, most);
    setText(this.span, span);
    show(this.gpuKey, onGpu);
  }
}

/** Paths of both lines on one scale from zero, and the picture in words. */
export function memoryLines(readings: readonly MemoryReading[]): {
  ram: string;
  gpu: string;
  words: string;
  most: string;
  span: string;
  onGpu: boolean;
} {
  const [first, last] = [readings[0], readings.at(-1)];
  if (first === undefined || last === undefined) {
    return { ram: '', gpu: '', words: 'No readings yet.', most: '', span: '', onGpu: false };
  }
  const largest = Math.max(1, ...readings.map(({ ramBytes, gpuBytes }) => Math.max(ramBytes, gpuBytes)));
  const time = Math.max(1, last.at - first.at);
  const line = (bytes: (reading: MemoryReading) => number) => {
    const points = readings.map((reading, index) => {
      // Readings of one and the same millisecond have no time between them to stand on: they share the width evenly.
      const along =
        last.at > first.at ? (reading.at - first.at) / time : index / Math.max(1, readings.length - 1);
      const x = along * width;
      return `${x.toFixed(1)} ${(height - 1 - (bytes(reading) / largest) * (height - 2)).toFixed(1)}`;
    });
    // One reading alone is a line as well, as wide as all.
    return `M${points.join('L')}${readings.length === 1 ? `H${width}` : ''}`;
  };
  const onGpu = readings.some(({ gpuBytes }) => gpuBytes > 0);
  const span = `last ${formatDuration(time / 1000)}`;
  const about = (name: string, bytes: (reading: MemoryReading) => number) => {
    const all = readings.map(bytes);
    return `${name} ${formatBytes(bytes(last))} now, ${formatBytes(Math.min(...all))} to ${formatBytes(Math.max(...all))}`;
  };
  const words = [
    about('Server process', ({ ramBytes }) => ramBytes),
    ...(onGpu ? [about('GPU memory', ({ gpuBytes }) => gpuBytes)] : []),
  ].join('; ');
  return {
    ram: line(({ ramBytes }) => ramBytes),
    gpu: onGpu ? line(({ gpuBytes }) => gpuBytes) : '',
    words: `Memory over the ${span}: ${words}.`,
    most: `at most ${formatBytes(largest)}`,
    span,
    onGpu,
  };
}

function svg(tag: string, attributes: Record<string, string>): SVGElement {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
