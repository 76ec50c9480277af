import { z } from 'zod';
import { OneBitError } from '../../protocol/error.ts';
import type { ChoiceQuestion, ChoiceTask } from '../choice-question.ts';
import { parseJsonLines, placeOf } from '../json-lines.ts';
import { readText } from '../read-text.ts';

const noIndex = 'it must be the index of an ending (the test split has none)';
const line = z.object({
  activity_label: z.string(),
  ctx_a: z.string(),
  ctx_b: z.string(),
  endings: z.array(z.string()).min(2),
  label: z.union([z.int(), z.string().regex(/^\d+$/, noIndex)], { error: noIndex }),
});

/** Lines of a question in the text format: context, index of the right ending, four endings. */
const textLines = 6;

/**
 * HellaSwag: which ending goes on. Read from the authors' JSON lines (`activity_label`, `ctx_a`, `ctx_b`, `endings`,
 * `label`), or from the text of llama.cpp's users, six lines a question, whose contexts come joined and
 * without the capital letter that lm-evaluation-harness gives to `ctx_b`.
 */
export const hellaswag: ChoiceTask = {
  scores: ['acc', 'acc_norm', 'acc_bytes'],
  async read(path, limit = Infinity) {
    const text = await readText(path);
    if (!text.trimStart().startsWith('{')) return readSixLines(text, path, limit);
    return parseJsonLines(text, path, line, limit).map(({ value, place }) => {
      const gold = Number(value.label);
      if (gold < 0 || gold >= value.endings.length) {
        throw new OneBitError(
          'bad-file',
          `${place}: field label: ${value.label} is none of ${value.endings.length} endings.`,
        );
      }
      const context = `${value.activity_label}: ${value.ctx_a} ${capitalize(value.ctx_b)}`;
      return question(place, context, value.endings, gold);
    });
  },
};

function readSixLines(text: string, path: string, limit: number): ChoiceQuestion[] {
  const lines = text.replace(/\s+$/, '').split(/\r?\n/);
  const questions: ChoiceQuestion[] = [];
  for (let at = 0; at < lines.length && questions.length < limit; at += textLines) {
    const [context = '', label = '', ...endings] = lines.slice(at, at + textLines);
    if (!/^\s*[0-3]\s*$/.test(label)) {
      throw new OneBitError(
        'bad-file',
        `${placeOf(path, at + 1)}: ${JSON.stringify(label.slice(0, 40))} is no index from 0 to 3: a question has six lines, its context, the index of the right ending, and four endings.`,
      );
    }
    if (endings.length < textLines - 2) {
      throw new OneBitError(
        'bad-file',
        `${placeOf(path, lines.length - 1)}: the file ends within a question of six lines: copy or download it again.`,
      );
    }
    questions.push(question(placeOf(path, at), context, endings, Number(label)));
  }
  return questions;
}

function question(place: string, context: string, endings: readonly string[], gold: number): ChoiceQuestion {
  const query = clean(context);
  const choices = endings.map((ending) => {
    const answer = clean(ending);
    return { context: query, continuation: ` ${answer}`, answer };
  });
  return { place, choices, gold };
}

/** Takes out what WikiHow's pages left in the text, in the order of lm-evaluation-harness. */
function clean(text: string): string {
  return text
    .trim()
    .replaceAll(' [title]', '. ')
    .replace(/\[[^\n]*?\]/g, '')
    .replaceAll('  ', ' ');
}

/** First character in upper case, all others in lower case. */
function capitalize(text: string): string {
  const [first = '', ...rest] = text;
  return first.toUpperCase() + rest.join('').toLowerCase();
}
