import { defineConfig } from 'vitest/config';

/** Measurements in a real VS Code, which `npm run bench -- --only panel-hour` starts. */
export default defineConfig({
  root: import.meta.dirname,
  test: {
    include: ['bench/*.bench.ts'],
    globalSetup: ['./harness/global-setup.ts'],
    // What is measured says itself how long it takes.
    testTimeout: 0,
    hookTimeout: 600_000,
    fileParallelism: false,
  },
});
