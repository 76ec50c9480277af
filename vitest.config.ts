import { defineConfig } from 'vitest/config';

export default defineConfig({
  plugins: [
    {
      // Shaders are text, as in esbuild.mjs.
      name: 'wgsl-as-text',
      transform: (code, id) =>
        id.endsWith('.wgsl') ? { code: `export default ${JSON.stringify(code)};`, map: null } : undefined,
    },
  ],
  resolve: {
    alias: [
      { find: /^@tensorflow\/(tfjs-core|tfjs-backend-cpu)$/, replacement: '@tensorflow/$1/dist/index.js' },
    ],
  },
  test: {
    include: ['test/unit/**/*.test.ts', 'test/integration/**/*.test.ts'],
    // tfjs as ES modules: its gradients are registered by a module that Node alone would not load.
    server: { deps: { inline: [/@tensorflow/] } },
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // The native kernels use two threads of their own: two workers are enough for two cores.
    pool: 'forks',
    maxWorkers: 2,
    minWorkers: 1,
  },
});
