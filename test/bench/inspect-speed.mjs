// How long `onebit inspect` takes for every matrix of a 7B-shaped checkpoint, without and with its teacher, and its peak
// memory. The files are written here (1.3 GB and 13.5 GB) and removed with the folder.
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadBundled } from './bundle.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const command = join(here, '..', '..', 'dist', 'onebit.mjs');

/** Seconds and peak bytes of the command, with `threads` kernels' threads; the cache is off. */
async function inspect(args, { threads, folder }) {
  const peak = join(folder, 'peak');
  const started = performance.now();
  const child = spawn(
    process.execPath,
    ['--import', join(here, 'report-peak.mjs'), command, 'inspect', ...args, '--threads', threads, '--json'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ONEBIT_PEAK_FILE: peak, ONEBIT_STATE: join(folder, 'state') },
    },
  );
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part) => (text += part));
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(`onebit inspect ended with ${code}`);
  const seconds = (performance.now() - started) / 1000;
  return { seconds, peakBytes: Number(readFileSync(peak, 'utf8')), matrices: JSON.parse(text).layers.length };
}

/** @param shape 7b, 1.1b or 100m */
export async function measureInspect(shape, threads, folder) {
  const { writeShape } = await loadBundled('model-shape');
  const [student, teacher] = [join(folder, 'inspect-student'), join(folder, 'inspect-teacher')];
  mkdirSync(folder, { recursive: true });
  try {
    await writeShape(student, shape, 'onebit');
    await writeShape(teacher, shape, 'full');
    const options = { threads: String(threads), folder };
    const withTeacher = await inspect(['--model', student, '--teacher', teacher, '--no-cache'], options);
    const alone = await inspect(['--model', student, '--no-cache'], options);
    await inspect(['--model', student], options);
    const again = await inspect(['--model', student], options);
    return { shape, threads, alone, withTeacher, again };
  } finally {
    for (const path of [student, teacher]) rmSync(path, { recursive: true, force: true });
  }
}

export function inspectTable({ shape, threads, ...runs }) {
  const words = {
    alone: 'without teacher',
    withTeacher: 'with its fp16 teacher',
    again: 'without teacher, from the cache',
  };
  return [
    `Layer inspector, ${shape} shape, ${threads} threads:`,
    '',
    '| | matrices | seconds | peak memory, MB |',
    '|---|---:|---:|---:|',
    ...Object.entries(words).map(([key, text]) => {
      const { matrices, seconds, peakBytes } = runs[key];
      return `| ${text} | ${matrices} | ${seconds.toFixed(1)} | ${(peakBytes / 1e6).toFixed(0)} |`;
    }),
  ].join('\n');
}
