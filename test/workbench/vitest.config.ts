import { defineConfig } from 'vitest/config';

export default defineConfig({
  root: import.meta.dirname,
  test: {
    include: ['page/*.test.ts', '*.test.ts'],
    globalSetup: ['./harness/global-setup.ts'],
    // Long enough for a machine that is busy with something else.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    // One workbench at a time, and the steps of a file in their order: a later one needs what an earlier one did.
    // Deadlines are only there to fail at last.
    expect: { poll: { timeout: 200_000 } },
    fileParallelism: false,
    sequence: { concurrent: false },
    bail: 1,
  },
});
