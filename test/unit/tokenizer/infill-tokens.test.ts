import { describe, expect, it } from 'vitest';
import { findEndTokens, findInfillTokens } from '../../../server/tokenizer/infill-tokens.ts';

const ids = (names: readonly string[]) => (name: string) => {
  const at = names.indexOf(name);
  return at < 0 ? undefined : at;
};
const qwen = [
  '<|fim_prefix|>',
  '<|fim_middle|>',
  '<|fim_suffix|>',
  '<|fim_pad|>',
  '<|repo_name|>',
  '<|file_sep|>',
];

describe('findInfillTokens', () => {
  it.each([
    ['CodeLlama', ['▁<PRE>', '▁<MID>', '▁<SUF>', '▁<EOT>'], { prefix: 0, suffix: 2, middle: 1 }],
    [
      'StarCoder',
      ['<fim_prefix>', '<fim_middle>', '<fim_suffix>', '<fim_pad>'],
      { prefix: 0, suffix: 2, middle: 1 },
    ],
    [
      'StarCoder2',
      ['<fim_prefix>', '<fim_middle>', '<fim_suffix>', '<file_sep>'],
      { prefix: 0, suffix: 2, middle: 1, file: 3 },
    ],
    [
      'DeepSeek-Coder',
      ['<｜fim▁hole｜>', '<｜fim▁begin｜>', '<｜fim▁end｜>'],
      { prefix: 1, suffix: 0, middle: 2 },
    ],
    ['Qwen2.5-Coder', [...qwen, '<|im_start|>'], { prefix: 0, suffix: 2, middle: 1, file: 5 }],
    // The shipped tokenizer has all the names, but nothing was trained with several files.
    ['the starter', qwen, { prefix: 0, suffix: 2, middle: 1 }],
  ])('knows %s', (_, names, expected) => expect(findInfillTokens(ids(names))).toEqual(expected));

  it('wants all three', () => {
    expect(findInfillTokens(ids(['<fim_prefix>', '<fim_suffix>']))).toBeUndefined();
    expect(findInfillTokens(ids(['hello']))).toBeUndefined();
  });
});

it('CodeLlama’s end of a middle ends a text', () =>
  expect(findEndTokens(ids(['</s>', '▁<EOT>']), [])).toEqual([0, 1]));
