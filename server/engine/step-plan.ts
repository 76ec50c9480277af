import { OneBitError } from '../protocol/error.ts';
import type { EngineStep, Sequence } from './engine.ts';

/** Where one row's logits go: `[wanted, vocab]` of a step's output. */
export interface WantedRow {
  row: number;
  step: number;
  outputRow: number;
}

/** Rows that run through the layers together. A row is one token of one step's sequence. */
export interface StepBlock {
  tokens: Int32Array;
  /** Index of each row's step. Rows of a step are in order and next to each other. */
  step: Int32Array;
  /** Position of each row in its sequence. */
  position: Int32Array;
  wanted: WantedRow[];
}

export interface StepPlan {
  blocks: StepBlock[];
  /** Rows of logits of each step. */
  wantedRows: number[];
}

export interface StepLimits {
  contextLength: number;
  vocabSize: number;
  /** Most rows of a block. */
  blockRows: number;
}

/**
 * Checks the steps of one forward call and cuts them into blocks, in order: decoding sequences and
 * pieces of prompts share a block. Throws bad-request for a token outside the vocabulary, a step
 * without tokens, a sequence that occurs twice, or one that would outgrow the context.
 */
export function planSteps(steps: readonly EngineStep[], limits: StepLimits): StepPlan {
  const seen = new Set<Sequence>();
  const rows: { token: number; step: number; position: number; outputRow: number }[] = [];
  const wantedRows: number[] = [];
  for (const [index, { sequence, tokens, logits }] of steps.entries()) {
    if (seen.has(sequence)) {
      throw new OneBitError('bad-request', 'A sequence occurs in two steps of one forward call.');
    }
    seen.add(sequence);
    const count = tokens.length;
    if (count === 0) throw new OneBitError('bad-request', 'A step needs at least one token.');
    if (sequence.length + count > limits.contextLength) {
      throw new OneBitError(
        'bad-request',
        `${sequence.length + count} tokens do not fit the context of ${limits.contextLength}: ` +
          'shorten the text, or load the model with a longer context.',
      );
    }
    let wanted = 0;
    for (let i = 0; i < count; i++) {
      const token = tokens[i] as number;
      if (!Number.isInteger(token) || token < 0 || token >= limits.vocabSize) {
        throw new OneBitError(
          'bad-request',
          `Token ${token} is outside the vocabulary of ${limits.vocabSize}: the tokenizer and the model do not belong together.`,
        );
      }
      const isWanted = logits === 'all' || (logits === 'last' && i === count - 1);
      rows.push({
        token,
        step: index,
        position: sequence.length + i,
        outputRow: isWanted ? wanted++ : -1,
      });
    }
    wantedRows.push(wanted);
  }
  const blocks: StepBlock[] = [];
  for (let start = 0; start < rows.length; start += limits.blockRows) {
    const part = rows.slice(start, start + limits.blockRows);
    blocks.push({
      tokens: Int32Array.from(part, (row) => row.token),
      step: Int32Array.from(part, (row) => row.step),
      position: Int32Array.from(part, (row) => row.position),
      wanted: part.flatMap(({ step, outputRow }, row) => (outputRow < 0 ? [] : [{ row, step, outputRow }])),
    });
  }
  return { blocks, wantedRows };
}
