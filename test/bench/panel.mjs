// The panel in a real VS Code: starts the measurement test/workbench/bench/<name>.bench.ts and reads what it wrote.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setUp } from '../workbench/setup.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/**
 * @param name panel-hour
 * @param folder where to write
 * @param environment what the measurement is told
 */
function measure(name, folder, environment) {
  setUp();
  const file = join(folder, `${name}.json`);
  const config = join(root, 'test', 'workbench', 'bench.config.ts');
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  for (const step of [
    [join(root, 'scripts', 'package.mjs'), '--quiet'],
    [vitest, 'run', '--config', config, `bench/${name}.bench.ts`],
  ]) {
    const env = { ...process.env, ...environment, ONEBIT_BENCH_FILE: file };
    const { status } = spawnSync(process.execPath, step, { cwd: root, stdio: 'inherit', env });
    if (status !== 0) throw new Error(`${step.join(' ')} ended with ${status}`);
  }
  return JSON.parse(readFileSync(file, 'utf8'));
}

export function measurePanelHour(minutes, folder) {
  return measure('panel-hour', folder, { ONEBIT_BENCH_MINUTES: String(minutes) });
}

/** Slope of the least-squares line through the readings, a minute apart, without the first tenth (it warms up). */
function growthPerHour(readings, key) {
  const rest = readings.slice(Math.ceil(readings.length / 10));
  const mean = (of) => rest.reduce((sum, reading) => sum + of(reading), 0) / rest.length;
  const [x, y] = [mean(({ minute }) => minute), mean((reading) => reading[key])];
  const covariance = mean((reading) => (reading.minute - x) * (reading[key] - y));
  return (60 * covariance) / mean(({ minute }) => (minute - x) ** 2);
}

export function panelHourTable({ minutes, share, readings }) {
  const rows = [
    ['JavaScript of the panel, MB', 'frameBytes', 1e6],
    ['JavaScript of panel and workbench, MB', 'processBytes', 1e6],
    ['elements of the panel', 'elements', 1],
    ['nodes of panel and workbench', 'nodes', 1],
    ['listeners of panel and workbench', 'listeners', 1],
  ];
  const [first, last] = [readings.at(0), readings.at(-1)];
  const tenth = readings[Math.ceil(readings.length / 10)];
  return [
    `The panel open for ${minutes} minutes beside a run with ${share * 100}% of a core, steps ${first.step} to ${last.step}, ` +
      'each reading after a garbage collection:',
    '',
    `| | at the start | after ${tenth.minute} min | at the end | growth an hour, after ${tenth.minute} min |`,
    '|---|---:|---:|---:|---:|',
    ...rows.map(([text, key, unit]) => {
      const values = [first[key], tenth[key], last[key], growthPerHour(readings, key)];
      return `| ${text} | ${values.map((value) => (value / unit).toFixed(unit === 1 ? 0 : 2)).join(' | ')} |`;
    }),
  ].join('\n');
}
