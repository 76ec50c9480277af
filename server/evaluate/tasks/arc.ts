import { z } from 'zod';
import { OneBitError } from '../../protocol/error.ts';
import type { ChoiceTask } from '../choice-question.ts';
import { parseJsonLines } from '../json-lines.ts';
import { readText } from '../read-text.ts';

const published = z.object({
  question: z.object({
    stem: z.string(),
    choices: z.array(z.object({ text: z.string(), label: z.string() })).min(2),
  }),
  answerKey: z.string(),
});
const hub = z
  .object({
    question: z.string(),
    choices: z.object({ text: z.array(z.string()).min(2), label: z.array(z.string()) }),
    answerKey: z.string(),
  })
  .transform(({ question, choices, answerKey }) => ({
    question: {
      stem: question,
      choices: choices.text.map((text, i) => ({ text, label: choices.label[i] ?? '' })),
    },
    answerKey,
  }));
const line = z.union([published, hub], {
  error:
    'neither of the two ARC formats (question.stem with question.choices, or question with choices.text)',
});

/** ARC, easy and challenge: science questions. Read from AI2's JSON lines or from the Hugging Face Hub's. */
export const arc: ChoiceTask = {
  scores: ['acc', 'acc_norm', 'acc_bytes'],
  async read(path, limit) {
    return parseJsonLines(await readText(path), path, line, limit).map(({ value, place }) => {
      const { stem, choices } = value.question;
      const gold = choices.findIndex(({ label }) => label === value.answerKey);
      if (gold < 0) {
        const labels = choices.map(({ label }) => label).join(', ');
        throw new OneBitError(
          'bad-file',
          `${place}: field answerKey: "${value.answerKey}" is none of the labels ${labels}.`,
        );
      }
      return {
        place,
        choices: choices.map(({ text }) => ({
          context: `Question: ${stem}\nAnswer:`,
          continuation: ` ${text}`,
          answer: text,
        })),
        gold,
      };
    });
  },
};
