import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../server/checkpoint/open-checkpoint.ts';
import { openEngine } from '../../server/engine/open-engine.ts';
import { nativeFailure } from '../../server/native/addon.ts';
import { packageRoot } from '../../server/package-root.ts';
import { LlamaReference } from '../reference/llama-forward.ts';
import { uniform } from '../reference/random.ts';
import { writeRandomCheckpoint, type RandomCheckpointOptions } from '../reference/random-checkpoint.ts';
import { onebitJson } from './onebit-command.ts';

const folder = mkdtempSync(join(tmpdir(), 'onebit-figures-'));
afterAll(() => rmSync(folder, { recursive: true }));

const paths = nativeFailure() === undefined ? ['native', 'portable'] : ['portable'];
const models = join(packageRoot(), '..', 'shared', 'models');

/** Skips, with its reason in the test's name, where the real checkpoints are not at hand. */
function withModel(name: string) {
  const missing = !existsSync(join(models, name));
  if (missing) console.warn(`skipped: ${join(models, name)} is not there`);
  return it.skipIf(missing);
}

interface Perplexity {
  nll: number;
  ppl: number;
  tokens: number;
}
interface Generated {
  ids: number[];
  text: string;
}

// Sizes that are no multiple of a vector register, grouped heads, heads wider than hidden / heads,
// biases, tied embeddings in either name: together every path through a layer.
const variants: Record<string, RandomCheckpointOptions> = {
  'authors’ packed, biases, grouped heads': {
    layout: 'bitllama-inference',
    hiddenSize: 128,
    intermediateSize: 344,
    heads: 8,
    kvHeads: 2,
    attentionBias: true,
    layers: 3,
  },
  'authors’ latent, f16, tied, wide heads': {
    layout: 'bitllama-training',
    dtype: 'F16',
    hiddenSize: 96,
    intermediateSize: 264,
    heads: 6,
    kvHeads: 3,
    headDim: 32,
    tied: true,
  },
  'ours, biases everywhere, shards': {
    layout: 'onebit',
    hiddenSize: 256,
    intermediateSize: 520,
    attentionBias: true,
    mlpBias: true,
    shards: 2,
  },
  'full precision, bf16, head under the embedding’s name': {
    layout: 'full',
    dtype: 'BF16',
    hiddenSize: 72,
    intermediateSize: 200,
    heads: 6,
    kvHeads: 1,
    tied: 'lm_head',
    ropeTheta: 500000,
  },
};

describe.each(Object.entries(variants))('random weights: %s', (name, options) => {
  const vocabSize = 160;
  const sequenceLength = 160;
  let model: string;
  let idsFile: string;
  let expected: { ppl: number; greedy: number[] };
  const prompt = [1, 77, 5, 120, 33, 9, 9, 150];

  beforeAll(() => {
    const seed = name.length;
    model = join(folder, `random-${seed}`);
    writeRandomCheckpoint(model, { ...options, vocabSize, maxPositions: sequenceLength, seed });
    const next = uniform(seed);
    const sequences = Array.from({ length: 3 }, () =>
      Array.from({ length: sequenceLength }, () => Math.floor(next() * vocabSize)),
    );
    idsFile = join(folder, `ids-${seed}.json`);
    writeFileSync(idsFile, JSON.stringify(sequences));
    const reference = new LlamaReference(model);
    // All sequences have the same number of predicted tokens: the mean of means is the mean.
    const nll = sequences.reduce((sum, ids) => sum + reference.perplexity(ids).nll, 0) / sequences.length;
    expected = { ppl: Math.exp(nll), greedy: reference.greedy(prompt, 48) };
  });

  it.each(paths)('--exact: perplexity to 1e-4, the same greedy tokens (%s)', async (path) => {
    const flags = ['--model', model, '--exact', '--path', path];
    const { ppl, tokens } = await onebitJson<Perplexity>(['eval', 'ppl', ...flags, '--token-ids', idsFile]);
    expect(tokens).toBe(3 * (sequenceLength - 1));
    expect(Math.abs(ppl / expected.ppl - 1)).toBeLessThan(1e-4);
    const { ids } = await onebitJson<Generated>([
      'generate',
      ...flags,
      ...['--prompt-ids', prompt.join(','), '--max-tokens', '48', '--temperature', '0'],
    ]);
    expect(ids).toEqual(expected.greedy);
  });

  it.each(paths)('default kernels: perplexity to 0.3%% (%s)', async (path) => {
    const flags = ['--model', model, '--path', path, '--token-ids', idsFile];
    const { ppl } = await onebitJson<Perplexity>(['eval', 'ppl', ...flags]);
    expect(Math.abs(ppl / expected.ppl - 1)).toBeLessThan(3e-3);
  });
});

describe('the starter student on code', () => {
  const text = join(folder, 'code.txt');
  beforeAll(() => {
    const sources = join(packageRoot(), 'server', 'engine');
    const files = readdirSync(sources).filter((name) => name.endsWith('.ts'));
    writeFileSync(text, files.map((name) => readFileSync(join(sources, name), 'utf8')).join('\n'));
  });

  // Forced down from what the CPU has; a CPU without one of them measures its best again.
  it.each(['avx512', 'avx2', 'portable'])(
    'default kernels: perplexity to 0.1%% of --exact (%s)',
    async (isa) => {
      const args = [
        'eval',
        'ppl',
        '--device',
        'cpu',
        '--text',
        text,
        '--window',
        '256',
        '--max-tokens',
        '4096',
      ];
      const environment = { ONEBIT_CPU: isa };
      const exact = await onebitJson<Perplexity>([...args, '--exact'], environment);
      const { ppl, tokens } = await onebitJson<Perplexity>(args, environment);
      expect(tokens).toBe(4080);
      expect(Math.abs(ppl / exact.ppl - 1)).toBeLessThan(1e-3);
    },
  );
});

describe.each(paths)('real checkpoints (%s)', (path) => {
  withModel('stories260K')('stories260K tells the story that llama2.c documents', async () => {
    const documented =
      'Once upon a time, there was a little girl named Lily. She loved to play outside in the park. ' +
      'One day, she saw a big, red ball. She wanted to play with it, but it was too high.\n' +
      "Lily's mom said, \"Lily, let's go to the park.\" Lily was sad and didn't know what to do.";
    const { text } = await onebitJson<Generated>([
      'generate',
      ...['--model', join(models, 'stories260K', 'stories260K.bin')],
      ...['--tokenizer', join(models, 'stories260K', 'tok512.bin')],
      ...['--prompt', '', '--max-tokens', '160', '--temperature', '0', '--path', path, '--exact'],
    ]);
    expect(text.slice(0, documented.length)).toBe(documented);
  });

  withModel('tinystories-656k')('tinystories-656k gives the reference’s logits to 1e-4', async () => {
    const model = join(models, 'tinystories-656k');
    const reference = new LlamaReference(model);
    const ids = [1, ...reference.greedy([1], 95)];
    const expected = reference.logits(ids);
    const checkpoint = await openCheckpoint(model);
    const engine = await openEngine(checkpoint, { path: path as 'native' | 'portable', exact: true }).finally(
      () => checkpoint.close(),
    );
    try {
      const sequence = engine.open();
      // Two thirds as a prompt, the rest one by one: prefill and decode.
      const [prefill] = await engine.forward([{ sequence, tokens: ids.slice(0, 64), logits: 'all' }]);
      const rows = [prefill ?? new Float32Array()];
      for (const id of ids.slice(64)) {
        const [row] = await engine.forward([{ sequence, tokens: [id], logits: 'last' }]);
        rows.push(row ?? new Float32Array());
      }
      const got = rows.flatMap((row) => Array.from(row));
      expect(got.length).toBe(ids.length * reference.vocabSize);
      const worst = expected
        .flatMap((row, i) => Array.from(row, (x, j) => Math.abs(x - (got[i * row.length + j] ?? NaN))))
        .reduce((most, x) => (x <= most ? most : x), 0);
      expect(worst).toBeLessThan(1e-4);
    } finally {
      await engine.dispose();
    }
  });
});

withModel('code-teacher')('the reference agrees with another float64 forward (NumPy’s)', () => {
  const model = join(models, 'code-teacher');
  const { reference } = JSON.parse(readFileSync(join(model, 'reference.json'), 'utf8')) as {
    reference: {
      ids: number[];
      nll: number;
      last_logits: number[];
      greedy_prompt: number[];
      greedy: number[];
    };
  };
  const forward = new LlamaReference(model);
  expect(forward.perplexity(reference.ids).nll).toBeCloseTo(reference.nll, 10);
  expect(forward.greedy(reference.greedy_prompt, reference.greedy.length)).toEqual(reference.greedy);
});
