import { openCheckpoint } from '../checkpoint/open-checkpoint.ts';
import type { EngineOptions } from '../engine/engine.ts';
import { openEngine } from '../engine/open-engine.ts';
import type { OnProgress } from '../protocol/progress.ts';
import { loadTokenizer } from '../tokenizer/load-tokenizer.ts';
import { shareOf, type Score } from './accuracy.ts';
import { fillIn, type InfillPrompt, type InfillQuestion } from './infilling.ts';

/** `completion`: what completions of this model use, by its tokenizer and what its files say. */
export type AskedPrompt = InfillPrompt | 'completion';

export interface InfillFigure {
  model: string;
  prompt: InfillPrompt;
  /** The model's files say that it is not to infill; it was made to. */
  forced: boolean;
  score: Score;
  questions: number;
  /** Questions whose prompt was cut to the context. */
  truncated: number;
  contextLength: number;
  seconds: number;
}

const sequences = 8;

/**
 * Exact match of one model on gaps, with each kind of prompt that is asked for; a kind that two of them come to is
 * measured once.
 * @param path the model's folder
 * @throws what opening a model throws; unsupported for `infill` where the tokenizer has no tokens for it; cancelled
 */
export async function measureInfilling(
  { name, path }: { name: string; path: string },
  questions: readonly InfillQuestion[],
  prompts: readonly AskedPrompt[],
  engineOptions: EngineOptions,
  hooks: { signal?: AbortSignal; onProgress?: OnProgress; onNotice?: (message: string) => void },
): Promise<InfillFigure[]> {
  const { signal, onProgress, onNotice } = hooks;
  const said = await loadTokenizer(path);
  const forcing = await loadTokenizer(path, { forceInfill: true });
  const usual: InfillPrompt = said.infill === undefined ? 'prefix' : 'infill';
  const kinds = [...new Set(prompts.map((prompt) => (prompt === 'completion' ? usual : prompt)))];
  const checkpoint = await openCheckpoint(path, signal);
  try {
    const contextLength = engineOptions.contextLength ?? Math.min(2048, checkpoint.config.maxPositions);
    const options = { ...engineOptions, contextLength, sequences };
    const engine = await openEngine(checkpoint, options, { signal, onNotice });
    try {
      const figures: InfillFigure[] = [];
      for (const prompt of kinds) {
        const started = performance.now();
        const seconds = (): number => (performance.now() - started) / 1000;
        const total = questions.length;
        const { right, truncated } = await fillIn(engine, forcing, questions, {
          ...{ sequences, prompt, signal },
          onQuestion: (done) =>
            onProgress?.({
              ...{ phase: `${name} ${prompt}`, done, total, unit: 'questions' },
              remainingSeconds: (seconds() / done) * (total - done),
            }),
        });
        figures.push({
          ...{ model: name, prompt, forced: prompt === 'infill' && said.infill === undefined },
          ...{ score: shareOf('exact_match', right), questions: total, truncated, contextLength },
          seconds: seconds(),
        });
      }
      return figures;
    } finally {
      await engine.dispose();
    }
  } finally {
    await checkpoint.close();
  }
}
