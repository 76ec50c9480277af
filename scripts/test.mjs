// `npm test`: everything that must hold before a change lands, cheapest first.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureChromium } from '../test/workbench/setup.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const steps = [
  ['lint', 'npm', ['run', '--silent', 'lint']],
  ['format', 'npm', ['run', '--silent', 'format:check']],
  ['types', 'npm', ['run', '--silent', 'typecheck']],
  ['bundles', 'npm', ['run', '--silent', 'build']],
  ['unit and integration tests', 'npm', ['run', '--silent', 'test:unit']],
  // The first time it says what it installs for this: code-server.
  ['the extension in a real VS Code', 'npm', ['run', '--silent', 'test:workbench']],
];
// Chromium brings the software GPU that unit tests run on; without it they say that they are skipped.
try {
  ensureChromium();
} catch (error) {
  console.log(error instanceof Error ? error.message : String(error));
}
for (const [name, command, args] of steps) {
  const started = Date.now();
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  console.log(`${status === 0 ? 'ok' : 'FAILED'}: ${name} (${Math.round((Date.now() - started) / 1000)} s)`);
  if (status !== 0) process.exit(status ?? 1);
}
