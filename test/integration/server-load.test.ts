// The load benchmark for a few seconds: programs of all kinds at once, some of them broken. How fast it is, and whether
// memory stays flat over minutes, is the benchmark's matter (npm run bench -- --only load).
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it, vi } from 'vitest';
import { bundle } from '../bench/bundle.mjs';
import { measureLoad } from '../bench/server-load.ts';
import { packageRoot } from '../../server/package-root.ts';
import { cleanUp, commandLine, temporaryFolder, tinyModel } from './serve-process.ts';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });
afterAll(cleanUp);

it('answers 32 clients at once, of whom some leave, some are stuck and some talk nonsense', async () => {
  const code = join(temporaryFolder('code'), 'code.jsonl');
  const path = join(packageRoot(), 'server', 'api', 'server.ts');
  writeFileSync(code, JSON.stringify({ path, text: readFileSync(path, 'utf8') }));
  const load = await measureLoad({
    root: packageRoot(),
    clients: await bundle('load-clients'),
    cli: await commandLine(),
    folder: temporaryFolder('state'),
    model: tinyModel({ maxPositions: 4096, infill: true }),
    ...{ code, threads: 2, seconds: 4, warmUpSeconds: 1 },
  });
  expect(load.clients).toBe(32);
  for (const [name, { exchanges, errors }] of Object.entries(load.kinds)) {
    expect(errors, name).toEqual([]);
    // A visit of the window that cancels takes longer than the test.
    if (name !== 'a window that cancels') expect(exchanges, name).toBeGreaterThan(0);
  }
  const { 'bad bodies': bodies, 'bad frames': frames } = load.kinds;
  expect(bodies?.refused).toBeGreaterThan(0);
  expect(frames?.refused).toBeGreaterThan(0);
  expect(load.loaded.count).toBeGreaterThan(0);
  expect(load.left).toBe(0);
  // One token for each that left at most.
  expect(load.cancelled).toBeGreaterThan(0);
  expect(load.unwantedTokens).toBeLessThanOrEqual(load.cancelled);
  expect(load.memory.most).toBeLessThan(1e9);
});
