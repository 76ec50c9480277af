import tseslint from 'typescript-eslint';
import importX from 'eslint-plugin-import-x';

// One-way doors between the rooms (ARCHITECTURE.md). Inside server/, data flows
// checkpoint -> svid -> distill -> engine -> api; a stage never imports a later one.
const closedDoor = (target, from, message, except) => ({
  target: `./${target}`,
  from: `./${from}`,
  message,
  ...(except ? { except } : {}),
});
const laterStages = (stage, ...later) =>
  later.map((l) => closedDoor(`server/${stage}`, `server/${l}`, `${stage} comes before ${l}.`));

export default tseslint.config(
  {
    ignores: [
      'dist/**',
      'node_modules/**',
      'server/native/build/**',
      'server/gpu/prebuilds/**',
      'test/output/**',
      '**/node_modules/**',
    ],
  },
  ...tseslint.configs.recommended,
  {
    files: ['**/*.ts'],
    plugins: { 'import-x': importX },
    settings: { 'import-x/resolver': { node: { extensions: ['.ts', '.mjs', '.js'] } } },
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-non-null-assertion': 'warn',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      'import-x/no-restricted-paths': [
        'error',
        {
          zones: [
            closedDoor('server', 'extension', 'The server knows nothing of VS Code.'),
            closedDoor('server', 'webview', 'The server knows nothing of the panel.'),
            closedDoor('extension', 'server', 'The extension sees only the contracts.', ['./protocol']),
            closedDoor('extension', 'webview', 'The extension only posts messages to the panel.'),
            closedDoor('webview', 'server', 'The panel sees only the contracts.', ['./protocol']),
            closedDoor('webview', 'extension', 'The panel only receives messages.'),
            closedDoor('server/protocol', 'server', 'The contracts import nothing.', ['./protocol']),
            ...laterStages(
              'checkpoint',
              'svid',
              'distill',
              'engine',
              'evaluate',
              'inspect',
              'jobs',
              'api',
              'cli',
            ),
            ...laterStages(
              'tokenizer',
              'svid',
              'distill',
              'engine',
              'evaluate',
              'inspect',
              'jobs',
              'api',
              'cli',
            ),
            // gpu/ knows devices and buffers, not models: the engine and the training backend build on it.
            ...laterStages(
              'gpu',
              'checkpoint',
              'tokenizer',
              'svid',
              'distill',
              'engine',
              'evaluate',
              'inspect',
              'jobs',
              'api',
              'cli',
            ),
            ...laterStages('checkpoint', 'gpu'),
            ...laterStages('tokenizer', 'gpu'),
            ...laterStages('svid', 'gpu'),
            ...laterStages('svid', 'distill', 'engine', 'evaluate', 'inspect', 'jobs', 'api', 'cli'),
            ...laterStages('distill', 'jobs', 'api', 'cli'),
            ...laterStages('engine', 'distill', 'evaluate', 'jobs', 'api', 'cli'),
            ...laterStages('evaluate', 'jobs', 'api', 'cli'),
            ...laterStages('inspect', 'distill', 'jobs', 'api', 'cli'),
            ...laterStages('jobs', 'api', 'cli'),
            ...laterStages('api', 'cli'),
          ],
        },
      ],
    },
  },
  {
    files: ['server/**/*.ts', 'webview/**/*.ts', 'test/**/*.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        { paths: [{ name: 'vscode', message: 'Only extension/ may import the vscode API.' }] },
      ],
    },
  },
  {
    files: ['server/**/*.ts'],
    ignores: ['server/gpu/**'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          paths: [
            { name: 'vscode', message: 'Only extension/ may import the vscode API.' },
            { name: 'webgpu', message: 'Only server/gpu/ loads Dawn.' },
          ],
        },
      ],
    },
  },
  {
    files: ['extension/**/*.ts', 'webview/**/*.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            { group: ['@tensorflow/*'], message: 'No tensors outside server/.' },
            { group: ['webgpu'], message: 'A driver may crash: GPUs are used in the server or a job only.' },
          ],
        },
      ],
    },
  },
);
