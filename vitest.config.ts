import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/unit/**/*.test.ts', 'test/integration/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // The native kernels use two threads of their own: two workers are enough for two cores.
    pool: 'forks',
    maxWorkers: 2,
    minWorkers: 1,
  },
});
