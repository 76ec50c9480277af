import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import type { ChoiceQuestion } from '../../../server/evaluate/choice-question.ts';
import { readInfilling } from '../../../server/evaluate/infilling.ts';
import { loadTask } from '../../../server/evaluate/run-task.ts';
import { choiceTasks } from '../../../server/evaluate/tasks/index.ts';

const fixtures = join(dirname(fileURLToPath(import.meta.url)), 'tasks');
const folder = mkdtempSync(join(tmpdir(), 'onebit-tasks-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Writes a file of bad or other input. */
function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const read = (task: keyof typeof choiceTasks, name: string, limit?: number): Promise<ChoiceQuestion[]> =>
  choiceTasks[task].read(join(fixtures, name), limit);

/** One question in short: its contexts without repeats, continuations, answers and gold. */
function inShort({ choices, gold }: ChoiceQuestion | undefined = { place: '', choices: [], gold: -1 }) {
  return {
    contexts: [...new Set(choices.map(({ context }) => context))],
    continuations: choices.map(({ continuation }) => continuation),
    answers: choices.map(({ answer }) => answer),
    gold,
  };
}

describe('what the model reads is what lm-evaluation-harness gives it', () => {
  test('HellaSwag: the activity first, ctx_b capitalised, WikiHow’s marks taken out', async () => {
    const [first, second, ...more] = await read('hellaswag', 'hellaswag.jsonl');
    expect(more).toEqual([]);
    expect(inShort(first)).toEqual({
      contexts: ['Roof shingle removal: A man is sitting on a roof. He'],
      continuations: [
        ' is using wrap to wrap a pair of skis.',
        ' is ripping level tiles off.',
        " is holding a rubik's cube.",
        ' starts pulling up roofing on a roof.',
      ],
      answers: [
        'is using wrap to wrap a pair of skis.',
        'is ripping level tiles off.',
        "is holding a rubik's cube.",
        'starts pulling up roofing on a roof.',
      ],
      gold: 3,
    });
    const answers = ['Hang them in the café.', 'Done.. Store them.', 'Eat lot.', 'No.'];
    expect(inShort(second)).toEqual({
      contexts: ['Home and Garden: How to Dry herbs. Tie them. Use a cord.'],
      continuations: answers.map((answer) => ` ${answer}`),
      answers,
      gold: 1,
    });
  });

  test('HellaSwag as six lines a question', async () => {
    const questions = await read('hellaswag', 'hellaswag.txt');
    expect(questions.map(inShort)).toEqual([
      {
        contexts: ['Clean and jerk: A lady walks to a barbell. the lady'],
        continuations: [' swings it.', ' pulls it.', ' pulls a rope.', ' stands.'],
        answers: ['swings it.', 'pulls it.', 'pulls a rope.', 'stands.'],
        gold: 0,
      },
      {
        contexts: ['Canoeing: Two women'],
        continuations: [' go under.', ' wave.', ' paddle on.', ' sleep.'],
        answers: ['go under.', 'wave.', 'paddle on.', 'sleep.'],
        gold: 2,
      },
    ]);
  });

  test('PIQA: answers with all their spaces, labels from the file beside', async () => {
    const [jar, dresser, soup] = (await read('piqa', 'piqa.jsonl')).map(inShort);
    expect(jar).toEqual({
      contexts: ['Question: How do I open a jar?\nAnswer:'],
      continuations: [' Twist the lid. ', ' Twist the glass.'],
      answers: ['Twist the lid. ', 'Twist the glass.'],
      gold: 0,
    });
    expect([dresser?.gold, soup?.gold]).toEqual([1, 1]);
    const labelled = file('labelled.jsonl', '{"goal":"g","sol1":"a","sol2":"b","label":1}\n');
    expect((await choiceTasks.piqa.read(labelled))[0]?.gold).toBe(1);
  });

  test('ARC: in AI2’s files and in the Hub’s, with letters or numbers for labels', async () => {
    const questions = (await read('arc_easy', 'arc.jsonl')).map(inShort);
    expect(questions[0]).toEqual({
      contexts: ['Question: Which technology was developed most recently?\nAnswer:'],
      continuations: [' cellular telephone', ' television', ' refrigerator'],
      answers: ['cellular telephone', 'television', 'refrigerator'],
      gold: 0,
    });
    expect(questions[1]).toMatchObject({ answers: ['ice', 'steam', 'snow', 'slush'], gold: 1 });
    expect((await read('arc_challenge', 'arc-hub.jsonl')).map(inShort)).toEqual([questions[0]]);
  });

  test('BoolQ: the same prompts from the authors’ files and from SuperGLUE’s', async () => {
    const questions = (await read('boolq', 'boolq.jsonl')).map(inShort);
    expect(questions[0]).toEqual({
      contexts: ['Ice -- Ice is less dense than water.\nQuestion: does ice float?\nAnswer:'],
      continuations: [' no', ' yes'],
      answers: ['no', 'yes'],
      gold: 1,
    });
    expect((await read('boolq', 'boolq-superglue.jsonl')).map(inShort)).toEqual(questions);
  });

  test('Winogrande: the options end the contexts, what follows the blank is scored', async () => {
    const [surgeon, cup] = (await read('winogrande', 'winogrande.jsonl')).map(inShort);
    expect(surgeon).toEqual({
      contexts: [
        'Sarah was a much better surgeon than Maria so Sarah',
        'Sarah was a much better surgeon than Maria so Maria',
      ],
      continuations: [' always got the easier cases.', ' always got the easier cases.'],
      answers: ['Sarah', 'Maria'],
      gold: 1,
    });
    expect(cup).toMatchObject({ continuations: [' was too tall.', ' was too tall.'], gold: 0 });
  });

  test('infilling: the line that was there, without the space at its end', async () => {
    expect(await readInfilling(join(fixtures, 'infilling.jsonl'))).toEqual([
      { prefix: 'def f(x):\n', suffix: '    return y\n', expected: '    y = x' },
    ]);
  });
});

test('the first questions only, and those after them need not even be right', async () => {
  expect(await read('hellaswag', 'hellaswag.txt', 1)).toHaveLength(1);
  expect(await read('piqa', 'piqa.jsonl', 2)).toHaveLength(2);
  const half = file('half.jsonl', '{"goal":"g","sol1":"a","sol2":"b","label":0}\nno JSON\n');
  expect(await choiceTasks.piqa.read(half, 1)).toHaveLength(1);
});

test('a gzip file is read as what is in it', async () => {
  const text = '{"question":"q","passage":"p","label":true}\n';
  expect(await choiceTasks.boolq.read(file('boolq.jsonl.gz', gzipSync(text)))).toHaveLength(1);
});

test('places name file and line, blank lines counted', async () => {
  const path = file('blank.jsonl', '\n{"question":"q","passage":"p","label":1}\n');
  expect((await choiceTasks.boolq.read(path))[0]?.place).toBe(`${path}: line 2`);
});

describe('bad input is named with its file and line', () => {
  const arcLine = (answer: string) =>
    JSON.stringify({ question: 'q', choices: { text: ['a', 'b'], label: ['A', 'B'] }, answerKey: answer });
  const swag = (label: unknown) =>
    JSON.stringify({ activity_label: 'a', ctx_a: 'b', ctx_b: 'c', endings: ['d', 'e'], label });
  test.each<[string, keyof typeof choiceTasks | 'infilling', string | Uint8Array, RegExp]>([
    [
      'not JSON',
      'piqa',
      '{"goal":"g","sol1":"a","sol2":"b","label":0}\n{goal}\n',
      /: line 2 is not JSON: .*Mend the line/,
    ],
    ['a missing field', 'piqa', '{"goal":"g","sol1":"a"}\n', /: line 1: field sol2:/],
    ['no labels', 'piqa', '{"goal":"g","sol1":"a","sol2":"b"}\n', /-labels\.lst is not there/],
    ['a test split', 'hellaswag', `${swag('')}\n`, /: line 1: field label: .*test split/],
    ['a label past the endings', 'hellaswag', `${swag(0)}\n${swag(2)}\n`, /: line 2: field label: 2 is none/],
    ['a text of other lines', 'hellaswag', 'context\nending\n', /: line 2: "ending" is no index from 0 to 3/],
    ['a text that was cut short', 'hellaswag', 'context\n0\na\nb\nc\n', /: line 5: the file ends within/],
    ['an unknown answer', 'arc_easy', `${arcLine('A')}\n${arcLine('C')}\n`, /: line 2: field answerKey: "C"/],
    ['another format', 'arc_easy', '{"q":1}\n', /: line 1: neither of the two ARC formats/],
    ['another format', 'boolq', '{"q":1}\n', /: line 1: neither SuperGLUE/],
    ['no blank', 'winogrande', '{"sentence":"a","option1":"b","option2":"c","answer":"1"}\n', /blank \(_\)/],
    [
      'no answer',
      'winogrande',
      '{"sentence":"_","option1":"b","option2":"c","answer":""}\n',
      /field answer:/,
    ],
    [
      'nothing to fill in',
      'infilling',
      '{"prompt":"a","suffix":"b","canonical_solution":"\\n"}\n',
      /line 1:/,
    ],
    ['no questions', 'boolq', '\n\n', /holds no questions of boolq/],
    ['bzip2', 'hellaswag', Buffer.from('BZh91AY&SY'), /is a bzip2 file: unpack it/],
    ['parquet', 'boolq', Buffer.from('PAR1\x15\x04'), /is a parquet file: give the data as JSON lines/],
    ['broken gzip', 'boolq', Buffer.from([0x1f, 0x8b, 8, 0, 1, 2, 3]), /cannot be unpacked/],
    ['no UTF-8', 'boolq', Buffer.from([0x7b, 0xff, 0xfe]), /is not UTF-8 text/],
  ])('%s (%s)', async (_what, task, content, message) => {
    const path = file(`bad-${task}.jsonl`, content);
    const error: unknown = await loadTask({ task, file: path }).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ name: 'OneBitError', message: expect.stringMatching(message) });
    expect((error as Error).message).toContain(path.replace('.jsonl', ''));
  });

  test('labels of another file', async () => {
    const path = file('few.jsonl', '{"goal":"g","sol1":"a","sol2":"b"}\n'.repeat(3));
    file('few-labels.lst', '0\n1\n');
    await expect(choiceTasks.piqa.read(path)).rejects.toThrow(/few-labels\.lst ends after 2 labels/);
    file('few-labels.lst', '0\n2\n1\n');
    await expect(choiceTasks.piqa.read(path)).rejects.toThrow(/few-labels\.lst: line 2: "2" is not 0 or 1/);
  });
});
