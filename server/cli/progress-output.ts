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
    const measured = progress.metric === undefined ? undefined : measurementLines(progress.metric);
    if (measured !== undefined) {
      process.stderr.write(`${terminal ? '\r\x1b[2K' : ''}${measured.join('\n')}\n`);
    }
    const now = performance.now();
    if (!finished && now - last < (terminal ? 100 : 5000)) return;
    last = now;
    // A line that wraps would not be rewritten in place.
    const line = shortened(progressLine(progress), terminal ? process.stderr.columns - 1 : Infinity);
    process.stderr.write(terminal ? `\r\x1b[2K${line}${finished ? '\n' : ''}` : `${line}\n`);
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

/** One line: what is done, how long it will take, then the figures. */
export function progressLine(progress: Progress): string {
  const { done, total, unit } = progress;
  const amount =
    total > 0 ? `${Math.floor((100 * done) / total)}% (${done}/${total} ${unit})` : `${done} ${unit}`;
  const remaining =
    progress.remainingSeconds === undefined ? [] : [`${formatDuration(progress.remainingSeconds)} left`];
  const figures = Object.entries(progress.metrics ?? {}).map(([name, value]) => shown(name, value));
  return [`${progress.phase} ${amount}`, ...remaining, ...figures, progress.message ?? '']
    .filter((part) => part !== '')
    .join(' · ');
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

function shortened(line: string, width: number): string {
  return line.length > width ? `${line.slice(0, Math.max(0, width - 1))}…` : line;
}
