import { z } from 'zod';
import type { ChoiceTask } from '../choice-question.ts';
import { parseJsonLines } from '../json-lines.ts';
import { readText } from '../read-text.ts';

const line = z.object({
  sentence: z.string().regex(/_/, 'there is no blank (_) in it'),
  option1: z.string(),
  option2: z.string(),
  answer: z.enum(['1', '2'], { error: 'it must be "1" or "2" (the test split has no answers)' }),
});

/**
 * Winogrande: who or what fills the blank. The options differ in the context; what is scored is the rest of
 * the sentence after the blank, the same for both (partial evaluation, Trinh and Le 2018).
 */
export const winogrande: ChoiceTask = {
  scores: ['acc'],
  async read(path, limit) {
    return parseJsonLines(await readText(path), path, line, limit).map(({ value, place }) => {
      const blank = value.sentence.indexOf('_');
      const before = value.sentence.slice(0, blank);
      const after = value.sentence.slice(blank + 1).trim();
      return {
        place,
        choices: [value.option1, value.option2].map((option) => ({
          context: before + option,
          continuation: ` ${after}`,
          answer: option,
        })),
        gold: Number(value.answer) - 1,
      };
    });
  },
};
