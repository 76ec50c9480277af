import { formatDuration } from '../protocol/duration.ts';
import type { Metric, OnProgress, Progress } from '../protocol/progress.ts';

/**
 * How a command shows progress: `auto` is a line rewritten in place on a terminal and a line every few
 * seconds elsewhere, and of training what was measured stays in view (all on standard error); `json` is one
 * Progress object a line on standard output after the word `progress `, which is how a job's parent follows
 * it.
 */
export function progressOutput(mode: 'auto' | 'json' | 'none'): OnProgress {
  if (mode === 'none') return () => {};
  if (mode === 'json') return (progress) => process.stdout.write(`progress ${JSON.stringify(progress)}\n`);
  const terminal = process.stderr.isTTY;
  let last = 0;
  return (progress) => {
    // A total of 0 means that it is not known yet.
    const finished = progress.total > 0 && progress.done >= progress.total;
    // What will not be said again stays in view, as a whole.
    const stays = finished || progress.phase === 'memory';
    const measured = progress.metric === undefined ? undefined : measurementLines(progress.metric);
    if (measured !== undefined) {
      process.stderr.write(`${terminal ? '\r\x1b[2K' : ''}${measured.join('\n')}\n`);
    }
    const now = performance.now();
    if (!stays && now - last < (terminal ? 100 : 5000)) return;
    last = now;
    // A line that wraps would not be rewritten in place.
    const line = progressLine(progress, terminal && !stays ? process.stderr.columns - 1 : Infinity);
    process.stderr.write(terminal ? `\r\x1b[2K${line}${stays ? '\n' : ''}` : `${line}\n`);
  };
}

/** What a training run's measurement says, to stay in view; undefined at a step that has none. */
export function measurementLines({ step, perplexity, signFlips, sample }: Metric): string[] | undefined {
  if (perplexity === undefined && sample === undefined) return undefined;
  const percent = (share: number) => `${(100 * share).toFixed(2)}%`;
  const mean = (shares: number[]) => percent(shares.reduce((sum, share) => sum + share, 0) / shares.length);
  const head = [
    `step ${step}`,
    ...(perplexity === undefined ? [] : [`held-out perplexity ${perplexity.toFixed(2)}`]),
    ...(signFlips === undefined
      ? []
      : [
          `signs turned ${mean(signFlips.sinceLast)}, since the start ${mean(signFlips.sinceStart)} ` +
            `(by layer ${signFlips.sinceStart.map(percent).join(' ')})`,
        ]),
  ].join(' · ');
  const said: [string, string | undefined][] = [
    ['prompt', sample?.prompt],
    ['teacher', sample?.teacher],
    ['now', sample?.completion],
  ];
  // As JSON strings: one line each, whatever the model writes to the terminal.
  return [
    head,
    ...said.flatMap(([who, text]) => (text === undefined ? [] : [`  ${who}: ${JSON.stringify(text)}`])),
  ];
}

/**
 * One line: what is done, how long it will take, then the figures, the speed first.
 * @param width columns; figures that do not fit are left out, from the last
 */
export function progressLine(progress: Progress, width = Infinity): string {
  const { done, total, remainingSeconds, message } = progress;
  const figures = Object.entries(progress.metrics ?? {}).sort(
    ([one], [other]) => Number(other === 'tokensPerSecond') - Number(one === 'tokensPerSecond'),
  );
  const parts = [
    `${progress.phase} ${amountOf(progress)}`,
    ...(remainingSeconds === undefined || done === total ? [] : [`${formatDuration(remainingSeconds)} left`]),
    ...figures.map(([name, value]) => shown(name, value)),
    ...(message === undefined || message === '' ? [] : [message]),
  ];
  let line = '';
  for (const part of parts) {
    const longer = line === '' ? part : `${line} · ${part}`;
    // A message is a path or a list: its beginning is of use as well.
    if (longer.length > width && part !== message && line !== '') continue;
    line = longer;
  }
  return line.length > width ? `${line.slice(0, Math.max(0, width - 1))}…` : line;
}

function amountOf({ phase, done, total, unit }: Progress): string {
  const count = unit === 'bytes' ? bytesText : String;
  if (total <= 0) return unit === 'bytes' ? count(done) : `${done} ${unit}`;
  const amount = unit === 'bytes' ? `${count(done)} of ${count(total)}` : `${done}/${total} ${unit}`;
  // Of memory there is no share of a work that is done.
  return phase === 'memory' ? amount : `${Math.floor((100 * done) / total)}% (${amount})`;
}

function bytesText(bytes: number): string {
  return bytes < 1e9 ? `${Math.ceil(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

function shown(name: string, value: number): string {
  switch (name) {
    case 'learningRate':
      return `rate ${value.toPrecision(3)}`;
    case 'gradientNorm':
      return `gradient ${value.toPrecision(3)}`;
    case 'tokensPerSecond':
      return `${Math.round(value)} tokens/s`;
    default:
      return `${name} ${Number(value.toPrecision(4))}`;
  }
}
