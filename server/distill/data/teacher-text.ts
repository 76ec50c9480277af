import { openCheckpoint } from '../../checkpoint/open-checkpoint.ts';
import type { EngineOptions } from '../../engine/engine.ts';
import type { LanguageModel } from '../../engine/language-model.ts';
import type { OpenControl } from '../../engine/open-engine.ts';
import { openLanguageModel } from '../../engine/open-language-model.ts';
import { OneBitError } from '../../protocol/error.ts';
import type { OnProgress } from '../../protocol/progress.ts';
import { loadTokenizer } from '../../tokenizer/load-tokenizer.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { Random } from '../random.ts';
import { SampleFile, type Sample } from './sample-file.ts';

export interface TeacherTextOptions {
  /** Folder of the model that writes. */
  model: string;
  /** A tokenizer file or folder, where the model has none. */
  tokenizer?: string;
  /** .jsonl or .jsonl.gz. */
  output: string;
  samples: number;
  /** Longest sample, in tokens. */
  tokens: number;
  /** No text ends by itself before so many tokens after the first, nor before the end of the greedy ones. */
  minTokens: number;
  /** Of the tokens after the greedy ones. */
  temperature: number;
  seed: number;
  /** Samples that are generated side by side. */
  batch: number;
  engine: EngineOptions;
}

export interface TeacherTextResult {
  output: string;
  samples: number;
  /** Over all samples. */
  tokens: number;
  /** Of this command, and the rate over its own tokens. */
  seconds: number;
  tokensPerSecond: number;
}

/** Greedy tokens after the first: LLM-QAT's "first 3 to 5 tokens". */
const [fewestGreedy, mostGreedy] = [3, 5];
/** Draws of a first token before a vocabulary is given up. */
const draws = 100_000;

/**
 * Training text that the teacher writes itself (LLM-QAT, Liu et al. 2023, section 3.1; the OneBit paper's
 * source): a first token drawn evenly from the vocabulary, 3 to 5 tokens by top-1, the rest sampled from
 * the whole softmax, up to an end token or `tokens`. An end token is never among the greedy ones, or a model
 * trained on pieces of text would often write nothing but the first token. Special tokens and parts of characters do not begin a
 * text; where the tokenizer puts a BOS token before texts, it comes first, as the teacher was trained.
 *
 * Sample i depends on the model, the seed and i alone: a CPU engine's logits do not depend on the batch or on
 * the number of threads (a GPU's may, in their last bits). An interrupted command goes on where it was and ends with the same file.
 * @throws what SampleFile.open and openLanguageModel throw; no-tokenizer; bad-request for samples that are
 * longer than the model's positions, or when earlier samples came from another model; cancelled
 */
export async function writeTeacherText(
  options: TeacherTextOptions,
  context: OpenControl,
): Promise<TeacherTextResult> {
  const { output, samples, tokens, minTokens, temperature, seed } = options;
  const checkpoint = await openCheckpoint(options.model, context.signal);
  await checkpoint.close();
  const tokenizer = await loadTokenizer(options.tokenizer ?? options.model);
  const begin = tokenizer.encode('', { bos: true });
  const contextLength = begin.length + tokens;
  if (contextLength > checkpoint.config.maxPositions) {
    throw new OneBitError(
      'bad-request',
      `Samples of ${tokens} tokens${begin.length > 0 ? ' and a BOS token' : ''} are longer than the ` +
        `${checkpoint.config.maxPositions} positions of ${options.model}: give fewer --tokens.`,
    );
  }
  const exact = options.engine.exact === true ? 1 : 0;
  const file = await SampleFile.open(output, { seed, tokens, minTokens, temperature, exact }, samples);
  try {
    const batch = Math.min(options.batch, samples);
    const model = await openLanguageModel(
      options.model,
      {
        ...options.engine,
        tokenizer: options.tokenizer,
        contextLength,
        sequences: batch,
        queue: batch,
      },
      context,
    );
    try {
      const writer = new TeacherWriter(model, tokenizer, begin, options);
      const result = await generateAll(file, writer, { ...options, batch }, context);
      await file.finish(context.signal);
      return result;
    } finally {
      await model.dispose();
    }
  } finally {
    await file.close();
  }
}

/** Makes single samples. */
class TeacherWriter {
  private readonly stopIds: number[];

  /** @param begin tokens before the first: the BOS token, where texts begin with one */
  constructor(
    private readonly model: LanguageModel,
    private readonly tokenizer: Tokenizer,
    private readonly begin: readonly number[],
    private readonly options: TeacherTextOptions,
  ) {
    const { infill } = tokenizer;
    this.stopIds = [
      ...model.config.eosTokenIds,
      ...tokenizer.eosIds,
      ...(tokenizer.bosId === undefined ? [] : [tokenizer.bosId]),
      // A model of code goes on with infilling examples where a document would begin: not a text any more.
      ...(infill === undefined ? [] : [infill.prefix, infill.suffix, infill.middle]),
    ];
  }

  /** @throws cancelled */
  async sample(index: number, signal: AbortSignal): Promise<Sample> {
    const { seed, tokens, minTokens, temperature } = this.options;
    const random = new Random(seed, `sample ${index}`);
    const first = this.firstToken(random);
    const greedyTokens = fewestGreedy + random.below(mostGreedy - fewestGreedy + 1);
    const { ids, finishReason } = await this.model.generate(
      {
        prompt: [...this.begin, first],
        maxTokens: tokens - 1,
        minTokens: Math.max(greedyTokens, minTokens),
        sampling: {
          ...{ temperature, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 },
          greedyTokens,
          seed: random.next(),
        },
        stop: [],
        stopIds: this.stopIds,
      },
      undefined,
      signal,
    );
    if (finishReason === 'cancelled') throw new OneBitError('cancelled', 'Cancelled.');
    const text = this.tokenizer.decode([first, ...ids]);
    return { path: `seed-${seed}/sample-${index + 1}`, text, tokens: 1 + ids.length };
  }

  private firstToken(random: Random): number {
    const size = Math.min(this.model.config.vocabSize, this.tokenizer.vocabSize);
    for (let draw = 0; draw < draws; draw++) {
      const id = random.below(size);
      if (this.stopIds.includes(id)) continue;
      const text = this.tokenizer.decode([id], { continuation: true });
      if (text !== '' && !text.includes('\ufffd')) return id;
    }
    throw new OneBitError('unsupported', `The tokenizer of ${this.model.path} has no token that is text.`);
  }
}

async function generateAll(
  file: SampleFile,
  writer: TeacherWriter,
  { output, samples, batch }: TeacherTextOptions,
  { signal, onProgress }: { signal?: AbortSignal; onProgress?: OnProgress },
): Promise<TeacherTextResult> {
  const stop = new AbortController();
  const both = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const { earlier } = file;
  await requireSameWriter(earlier, writer, output, both);
  const started = performance.now();
  let next = earlier.length;
  let saved = earlier.length;
  let tokens = earlier.reduce((sum, sample) => sum + sample.tokens, 0);
  let own = 0;
  /** Done, but not their turn in the file. */
  const early = new Map<number, Sample>();
  const rate = (): number => (1000 * own) / Math.max(1, performance.now() - started);
  let writing = Promise.resolve();
  const save = async (): Promise<void> => {
    for (let sample = early.get(saved); sample !== undefined; sample = early.get(saved)) {
      await file.add(sample);
      early.delete(saved++);
      tokens += sample.tokens;
    }
    const made = saved - earlier.length;
    onProgress?.({
      phase: 'generate data',
      done: saved,
      total: samples,
      unit: 'samples',
      metrics: { tokens, tokensPerSecond: rate() },
      remainingSeconds:
        made > 0 ? ((samples - saved) * (performance.now() - started)) / 1000 / made : undefined,
    });
  };
  const work = async (): Promise<void> => {
    while (next < samples) {
      const index = next++;
      const sample = await writer.sample(index, both);
      own += sample.tokens;
      early.set(index, sample);
      writing = writing.then(save);
      await writing;
    }
  };
  let failure: unknown;
  const works = Array.from({ length: batch }, () =>
    work().catch((error: unknown) => {
      failure ??= error;
      stop.abort();
    }),
  );
  // All of them: nothing may write to the file once it is closed.
  await Promise.all(works);
  if (failure !== undefined) throw failure;
  const seconds = (performance.now() - started) / 1000;
  return { output, samples, tokens, seconds, tokensPerSecond: rate() };
}

/** Makes the last of the earlier samples again: another model, tokenizer or kernel would show there. */
async function requireSameWriter(
  earlier: readonly Sample[],
  writer: TeacherWriter,
  output: string,
  signal: AbortSignal,
): Promise<void> {
  const last = earlier.at(-1);
  if (last === undefined) return;
  const again = await writer.sample(earlier.length - 1, signal);
  if (again.path === last.path && again.text === last.text) return;
  throw new OneBitError(
    'bad-request',
    `${output}.partial was begun with another model, tokenizer or machine: its last sample comes out otherwise ` +
      'now. Give the same ones to go on with it, or --restart to begin anew.',
  );
}
