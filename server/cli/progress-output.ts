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
    const line = progressLine(progress);
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

function progressLine(progress: Progress): string {
  const { done, total, unit } = progress;
  const amount =
    total > 0 ? `${Math.floor((100 * done) / total)}% (${done}/${total} ${unit})` : `${done} ${unit}`;
  const figures = Object.entries(progress.metrics ?? {}).map(
    ([name, value]) => `${name} ${Number(value.toPrecision(4))}`,
  );
  const remaining =
    progress.remainingSeconds === undefined ? [] : [`${Math.ceil(progress.remainingSeconds)} s left`];
  return [`${progress.phase} ${amount}`, ...figures, ...remaining, progress.message ?? '']
    .filter((part) => part !== '')
    .join(' · ');
}
