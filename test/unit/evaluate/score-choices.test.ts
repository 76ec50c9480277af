import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Engine } from '../../../server/engine/engine.ts';
import { openEngine } from '../../../server/engine/open-engine.ts';
import type { ChoiceQuestion } from '../../../server/evaluate/choice-question.ts';
import { encodePair } from '../../../server/evaluate/encode-pair.ts';
import { loadTask, runTask, taskSequences } from '../../../server/evaluate/run-task.ts';
import { scoreChoices } from '../../../server/evaluate/score-choices.ts';
import type { TaskName } from '../../../server/evaluate/tasks/index.ts';
import { nativeFailure } from '../../../server/native/addon.ts';
import { loadTokenizer } from '../../../server/tokenizer/load-tokenizer.ts';
import type { Tokenizer } from '../../../server/tokenizer/tokenizer.ts';
import { byteTokens, writeByteTokenizer } from '../../reference/byte-tokenizer.ts';
import { characterTokenizer } from '../../reference/character-tokenizer.ts';
import { continuationLikelihood, plainAccuracies } from '../../reference/choice-likelihood.ts';
import { LlamaReference } from '../../reference/llama-forward.ts';
import { writeRandomCheckpoint } from '../../reference/random-checkpoint.ts';
import { sharedPath } from '../../reference/shared-path.ts';

const fixtures = join(dirname(fileURLToPath(import.meta.url)), 'tasks');
const paths = nativeFailure() === undefined ? (['native', 'portable'] as const) : (['portable'] as const);
const positions = 64;

describe.each(['full', 'onebit'] as const)('a random %s model', (layout) => {
  let folder: string;
  let reference: LlamaReference;
  let tokenizer: Tokenizer;
  /** Reference log-likelihoods by what was asked; the paths ask the same. */
  const known = new Map<string, number>();

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'onebit-choices-'));
    writeRandomCheckpoint(folder, {
      ...{ layout, vocabSize: byteTokens.vocabSize, hiddenSize: 32, intermediateSize: 48 },
      ...{ maxPositions: 128, seed: 5 },
    });
    writeByteTokenizer(folder);
    reference = new LlamaReference(folder);
    tokenizer = await loadTokenizer(folder);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function expected({ choices }: ChoiceQuestion, contextLength: number): number[] {
    return choices.map(({ context, continuation }) => {
      const key = JSON.stringify([context, continuation, contextLength]);
      const value = known.get(key) ?? continuationLikelihood(reference, context, continuation, contextLength);
      known.set(key, value);
      return value;
    });
  }

  async function withEngine(
    path: 'native' | 'portable',
    contextLength: number,
    use: (engine: Engine) => Promise<void>,
  ): Promise<void> {
    const engine = await openEngine(folder, { path, exact: true, contextLength, sequences: taskSequences });
    try {
      await use(engine);
    } finally {
      await engine.dispose();
    }
  }

  test.each(
    paths.flatMap((path) => [
      [path, 'hellaswag', 'hellaswag.txt'] as const,
      [path, 'piqa', 'piqa.jsonl'] as const,
      [path, 'arc_easy', 'arc.jsonl'] as const,
      [path, 'boolq', 'boolq.jsonl'] as const,
      [path, 'winogrande', 'winogrande.jsonl'] as const,
    ]),
  )('%s: %s agrees with a float64 forward of every choice', async (path, task: TaskName, name) => {
    const loaded = await loadTask({ task, file: join(fixtures, name) });
    if (loaded.kind !== 'choice') throw new Error('multiple choice expected');
    const { questions } = loaded;
    const likelihoods = questions.map((question) => expected(question, 128));
    await withEngine(path, 128, async (engine) => {
      const got = await scoreChoices(engine, tokenizer, questions, { lanes: 2 });
      expect(got.truncated).toBe(0);
      got.logLikelihoods.forEach((values, q) => {
        expect(values).toHaveLength(questions[q]?.choices.length ?? 0);
        values.forEach((value, c) => expect(value / (likelihoods[q]?.[c] ?? NaN)).toBeCloseTo(1, 5));
      });
      const plain = questions.map(({ choices, gold }) => ({
        contexts: choices.map(({ context }) => context),
        continuations: choices.map(({ continuation }) => continuation),
        answers: choices.map(({ answer }) => answer),
        gold,
      }));
      const accuracies = plainAccuracies(plain, likelihoods);
      const { scores, questions: count } = await runTask(engine, tokenizer, loaded);
      expect(count).toBe(questions.length);
      for (const { name: score, value } of scores) {
        expect([score, value]).toEqual([score, accuracies[score as 'acc']]);
      }
    });
  });

  test.each(paths)('%s: contexts that are too long lose their beginning', async (path) => {
    const loaded = await loadTask({ task: 'boolq', file: join(fixtures, 'boolq.jsonl') });
    if (loaded.kind !== 'choice') throw new Error('multiple choice expected');
    const { questions } = loaded;
    await withEngine(path, positions, async (engine) => {
      const { logLikelihoods, truncated } = await scoreChoices(engine, tokenizer, questions, { lanes: 8 });
      const long = questions.filter(({ choices }) =>
        choices.some((c) => Buffer.byteLength(c.context + c.continuation) > positions + 1),
      );
      expect(truncated).toBe(long.length);
      expect(long.length).toBeGreaterThan(0);
      questions.forEach((question, q) =>
        expected(question, positions).forEach((value, c) =>
          expect((logLikelihoods[q]?.[c] ?? NaN) / value).toBeCloseTo(1, 5),
        ),
      );
    });
  });
});

test('a real model with a SentencePiece vocabulary and BOS, against a float64 forward', async (context) => {
  const model = sharedPath(context, 'models', 'tinystories-656k');
  const file = sharedPath(context, 'data', 'eval', 'piqa_valid.jsonl');
  const loaded = await loadTask({ task: 'piqa', file }, 4);
  if (loaded.kind !== 'choice') throw new Error('multiple choice expected');
  const tokenizer = await loadTokenizer(model);
  const reference = new LlamaReference(model);
  const engine = await openEngine(model, { exact: true, contextLength: 256, sequences: taskSequences });
  try {
    const { logLikelihoods } = await scoreChoices(engine, tokenizer, loaded.questions, { lanes: 4 });
    for (const [q, { choices }] of loaded.questions.entries()) {
      for (const [c, { context: given, continuation }] of choices.entries()) {
        // This tokenizer takes the prompt's last ":" and the space after it for one token: the context keeps its own.
        const before = tokenizer.encode(given, { bos: true });
        const whole = tokenizer.encode(given + continuation, { bos: true });
        whole.splice(0, before.length, ...before);
        expect(whole[0]).toBe(1);
        const first = before.length;
        const rows = reference.logits(whole.slice(0, -1)).slice(first - 1);
        const expected = rows.reduce((sum, row, i) => {
          const total = row.reduce((all, logit) => all + Math.exp(logit), 0);
          return sum + (row[whole[first + i] ?? 0] ?? NaN) - Math.log(total);
        }, 0);
        expect((logLikelihoods[q]?.[c] ?? NaN) / expected).toBeCloseTo(1, 5);
      }
    }
  } finally {
    await engine.dispose();
  }
});

describe('the way through the engine', () => {
  let folder: string;
  let engine: Engine;
  let tokenizer: Tokenizer;
  const contextText = 'Question: which of them?\nAnswer:';
  const question: ChoiceQuestion = {
    place: 'questions.jsonl: line 1',
    choices: ['one', 'two', 'seventeen'].map((answer) => ({
      ...{ context: contextText, continuation: ` ${answer}`, answer },
    })),
    gold: 0,
  };

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'onebit-choices-'));
    writeRandomCheckpoint(folder, { layout: 'full', vocabSize: byteTokens.vocabSize, hiddenSize: 32 });
    writeByteTokenizer(folder);
    engine = await openEngine(folder, { path: 'portable', sequences: 4 });
    tokenizer = await loadTokenizer(folder);
  });
  afterAll(async () => {
    await engine?.dispose();
    rmSync(folder, { recursive: true, force: true });
  });

  test('what the choices share is read once', async () => {
    let tokens = 0;
    const counting: Engine = {
      config: engine.config,
      contextLength: engine.contextLength,
      memory: () => engine.memory(),
      open: () => engine.open(),
      forward: (steps, signal) => {
        for (const step of steps) tokens += step.tokens.length;
        return engine.forward(steps, signal);
      },
      dispose: async () => {},
    };
    await scoreChoices(counting, tokenizer, [question], { lanes: 1 });
    // All of the context but its last token, which each choice reads before its own tokens but the last.
    const rests = question.choices.map(({ continuation }) => continuation.length);
    expect(tokens).toBe(contextText.length - 1 + rests.reduce((a, b) => a + b, 0));
  });

  test('the number of lanes changes nothing', async () => {
    const questions = Array.from({ length: 7 }, (_, i) => ({
      ...question,
      choices: question.choices.map((choice) => ({ ...choice, context: `${contextText}${'?'.repeat(i)}` })),
    }));
    const seen: number[] = [];
    const one = await scoreChoices(engine, tokenizer, questions, { lanes: 1 });
    const four = await scoreChoices(engine, tokenizer, questions, {
      lanes: 4,
      onQuestion: (done) => seen.push(done),
    });
    expect(four).toEqual(one);
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  test('an abort ends it and gives the sequences back', async () => {
    const stop = new AbortController();
    const asked = scoreChoices(engine, tokenizer, Array<ChoiceQuestion>(20).fill(question), {
      lanes: 4,
      signal: stop.signal,
      onQuestion: () => stop.abort(),
    });
    await expect(asked).rejects.toMatchObject({ code: 'cancelled' });
    const sequences = Array.from({ length: 4 }, () => engine.open());
    for (const sequence of sequences) sequence.dispose();
  });

  test('a choice that is longer than the context is named', async () => {
    const long = { context: 'a', continuation: 'b'.repeat(200), answer: 'b' };
    await expect(
      scoreChoices(engine, tokenizer, [{ ...question, choices: [long, long] }], { lanes: 1 }),
    ).rejects.toMatchObject({ code: 'bad-request', message: expect.stringContaining(question.place) });
  });
});

describe('encodePair', () => {
  const text = (codes: string): number[] => characterTokenizer.encode(codes);

  test('white space at the context’s end is scored with the continuation', () => {
    expect(encodePair(characterTokenizer, 'ab \n', 'c', '')).toEqual({
      context: text('ab'),
      continuation: text(' \nc'),
    });
  });

  test('BOS comes first; the continuation is what is beyond the context’s own tokens', () => {
    // A tokenizer that takes "b c" for one token: the context alone ends in "b".
    const merging: Tokenizer = {
      ...characterTokenizer,
      bosId: 5,
      encode: (raw, options) => [...(options?.bos ? [5] : []), ...text(raw.replace('b c', '#'))],
    };
    expect(encodePair(merging, 'ab', ' cd', '')).toEqual({
      context: [5, ...text('ab')],
      continuation: text('d'),
    });
  });

  test('without a context BOS or the end token begins', () => {
    expect(encodePair(characterTokenizer, '', 'x', '')).toEqual({ context: [0], continuation: text('x') });
  });

  test('a continuation of no tokens is refused with its place', () => {
    expect(() => encodePair(characterTokenizer, 'a', '', 'file: line 3')).toThrow(/^file: line 3: /);
  });
});
