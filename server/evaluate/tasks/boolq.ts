import { z } from 'zod';
import type { ChoiceTask } from '../choice-question.ts';
import { parseJsonLines } from '../json-lines.ts';
import { readText } from '../read-text.ts';

const superGlue = z.object({
  question: z.string(),
  passage: z.string(),
  label: z.union([z.boolean(), z.literal(0), z.literal(1)]),
});
const published = z
  .object({ question: z.string(), title: z.string(), passage: z.string(), answer: z.boolean() })
  // SuperGLUE puts the page's title before the passage; with it the two files give the same prompts.
  .transform(({ question, title, passage, answer }) => ({
    question,
    passage: `${title} -- ${passage}`,
    label: answer,
  }));
const line = z.union([superGlue, published], {
  error:
    'neither SuperGLUE’s fields (question, passage, label) nor BoolQ’s (question, title, passage, answer)',
});

const answers = ['no', 'yes'];

/** BoolQ: yes or no after a passage. Read from SuperGLUE's JSON lines or from the authors'. */
export const boolq: ChoiceTask = {
  scores: ['acc'],
  async read(path, limit) {
    return parseJsonLines(await readText(path), path, line, limit).map(({ value, place }) => ({
      place,
      choices: answers.map((answer) => ({
        context: `${value.passage}\nQuestion: ${value.question}?\nAnswer:`,
        continuation: ` ${answer}`,
        answer,
      })),
      gold: Number(value.label),
    }));
  },
};
