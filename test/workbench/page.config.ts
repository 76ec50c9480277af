import { defineConfig } from 'vitest/config';

/** The tests of the panel's page alone, in chromium without VS Code: `npx vitest run --config test/workbench/page.config.ts`. */
export default defineConfig({
  root: import.meta.dirname,
  test: {
    include: ['page/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // A deadline only to fail at last: the machine may be busy with something else.
    expect: { poll: { timeout: 30_000 } },
    fileParallelism: false,
  },
});
