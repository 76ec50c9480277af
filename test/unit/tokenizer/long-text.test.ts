import { Tokenizer as HfTokenizer } from '@huggingface/tokenizers';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, type TestContext } from 'vitest';
import { modelFolder } from '../../../server/checkpoint/starter.ts';
import { loadTokenizer } from '../../../server/tokenizer/load-tokenizer.ts';
import { encodingWithSpecial } from '../../../server/tokenizer/special-names.ts';
import { inSlices } from '../../../server/tokenizer/in-slices.ts';
import type { Tokenizer } from '../../../server/tokenizer/tokenizer.ts';
import { packageRoot } from '../../../server/package-root.ts';
import { uniform } from '../../reference/random.ts';
import { sharedPath } from '../../reference/shared-path.ts';
import { writeByteTokenizer } from '../../reference/byte-tokenizer.ts';

const folder = mkdtempSync(join(tmpdir(), 'onebit-long-text-'));
afterAll(() => rmSync(folder, { recursive: true }));
writeByteTokenizer(folder);

const random = uniform(3);
const code = readFileSync(join(packageRoot(), 'server', 'tokenizer', 'word-encoder.ts'), 'utf8');
const drawn = (length: number, from: number, to: number): string =>
  String.fromCodePoint(...Array.from({ length }, () => from + Math.floor(random() * (to - from))));
/** What files hold, and what nobody would write: every way to cut and to merge. */
const texts = [
  code,
  [...code].reverse().join(''),
  ...Array.from({ length: 20 }, () => drawn(300, 32, 127)),
  ...Array.from({ length: 20 }, () => drawn(300, 1, 0x3000)),
  ...Array.from({ length: 10 }, () => drawn(600, 97, 101)),
  drawn(200, 0x1f600, 0x1f650),
  drawn(100, 0xd800, 0xe000),
  'a'.repeat(5000),
  ' '.repeat(777),
  '\n \t'.repeat(500),
  '▁ ▁▁  x'.repeat(100),
  '<unk><|fim_prefix|></s> <s>',
];

describe.each([
  ["the starter's", () => modelFolder('starter')],
  ['a byte', () => folder],
  ["LLaMA-2's", (context: TestContext) => sharedPath(context, 'models', 'llama2-tokenizer')],
])('%s tokenizer.json', (_, pathOf) => {
  it('gives the ids that the reference implementation gives', async (context) => {
    const path = pathOf(context);
    const json = JSON.parse(readFileSync(join(path, 'tokenizer.json'), 'utf8')) as {
      added_tokens: { special: boolean }[];
    };
    const reference = new HfTokenizer(
      { ...json, post_processor: null, added_tokens: json.added_tokens.filter(({ special }) => !special) },
      {},
    );
    const tokenizer = await loadTokenizer(path);
    for (const text of texts) {
      const { ids } = reference.encode(text, { add_special_tokens: false });
      expect(tokenizer.encode(text), text.slice(0, 100)).toEqual(ids);
    }
  });
});

/** The ids, and how often it halts. */
function halts(steps: Generator<undefined, number[]>): { ids: number[]; count: number } {
  for (let count = 0; ; count++) {
    const step = steps.next();
    if (step.done) return { ids: step.value, count };
  }
}

describe('a text of a million characters', () => {
  const long = [
    code.repeat(Math.ceil(1e6 / code.length)).slice(0, 1e6),
    'a'.repeat(1e6),
    '<|endoftext|>'.repeat(70_000),
    '漢'.repeat(300_000),
  ];

  const expectSteps = (tokenizer: Tokenizer): void => {
    for (const text of long) {
      const { count, ids } = halts(encodingWithSpecial(tokenizer, text));
      expect(count, text.slice(0, 20)).toBeGreaterThan(10);
      expect(ids.length).toBeGreaterThan(0);
    }
  };

  it('is encoded in many small steps by a tokenizer.json', async () => {
    expectSteps(await loadTokenizer(modelFolder('starter')));
  });

  it('is encoded in many small steps by a tokenizer.model', async (context) => {
    const path = sharedPath(context, 'models', 'ternary-baseline', 'tok512.model');
    expectSteps(await loadTokenizer(path));
  });

  it('gives the same ids while other texts are encoded between its steps', async () => {
    const tokenizer: Tokenizer = await loadTokenizer(modelFolder('starter'));
    const alone = long.map((text) => tokenizer.encode(text));
    const together = await Promise.all(long.map((text) => inSlices(tokenizer.encoding(text))));
    for (const [i, ids] of together.entries())
      expect(ids.join() === alone[i]?.join(), `text ${i}`).toBe(true);
  });

  it('is given up in the middle when nobody wants it any more', async () => {
    const tokenizer = await loadTokenizer(modelFolder('starter'));
    await expect(inSlices(tokenizer.encoding(long[0] ?? ''), AbortSignal.abort())).rejects.toMatchObject({
      code: 'cancelled',
    });
  });
});
