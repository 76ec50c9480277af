// The tests in a real VS Code: makes code-server and chromium ready, packs the extension, checks the types of
// the tests, runs them. Arguments go to vitest (names of test files).
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setUp } from './setup.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..');

try {
  setUp();
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exit(1);
}
const steps = [
  [join(root, 'scripts', 'package.mjs'), '--quiet'],
  [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', here],
  [
    join(root, 'node_modules', 'vitest', 'vitest.mjs'),
    'run',
    '--config',
    join(here, 'vitest.config.ts'),
    ...process.argv.slice(2),
  ],
];
for (const step of steps) {
  const { status } = spawnSync(process.execPath, step, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
