import { z } from 'zod';
import { exists } from '../../checkpoint/json-file.ts';
import { OneBitError } from '../../protocol/error.ts';
import type { ChoiceTask } from '../choice-question.ts';
import { parseJsonLines, placeOf } from '../json-lines.ts';
import { readText } from '../read-text.ts';

const line = z.object({
  goal: z.string(),
  sol1: z.string(),
  sol2: z.string(),
  label: z.union([z.literal(0), z.literal(1)]).optional(),
});

/**
 * PIQA: which of two ways reaches a goal. Read from the authors' JSON lines (`goal`, `sol1`, `sol2`) with the
 * labels in a file of their own beside it (valid.jsonl, valid-labels.lst), or in a field `label`.
 */
export const piqa: ChoiceTask = {
  scores: ['acc', 'acc_norm', 'acc_bytes'],
  async read(path, limit) {
    const lines = parseJsonLines(await readText(path), path, line, limit);
    const labels = lines.some(({ value }) => value.label === undefined)
      ? await readLabels(path, lines.length)
      : [];
    return lines.map(({ value, place }, i) => ({
      place,
      choices: [value.sol1, value.sol2].map((answer) => ({
        context: `Question: ${value.goal}\nAnswer:`,
        continuation: ` ${answer}`,
        answer,
      })),
      gold: value.label ?? labels[i] ?? 0,
    }));
  },
};

async function readLabels(path: string, questions: number): Promise<number[]> {
  const file = `${path.replace(/\.gz$/, '').replace(/\.jsonl$/, '')}-labels.lst`;
  if (!(await exists(file))) {
    throw new OneBitError(
      'not-found',
      `${path} has no labels, and ${file} is not there: put PIQA's label file beside it under that name.`,
    );
  }
  const lines = (await readText(file)).trimEnd().split('\n');
  if (lines.length < questions) {
    throw new OneBitError(
      'bad-file',
      `${file} ends after ${lines.length} labels; ${path} has more questions: the two do not belong together.`,
    );
  }
  return lines.slice(0, questions).map((label, i) => {
    if (!/^[01]\s*$/.test(label)) {
      throw new OneBitError('bad-file', `${placeOf(file, i)}: ${JSON.stringify(label)} is not 0 or 1.`);
    }
    return Number(label);
  });
}
