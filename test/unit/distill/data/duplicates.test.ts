import { describe, expect, it } from 'vitest';
import type { Document } from '../../../../server/distill/data/document.ts';
import { dropDuplicates, withoutTrainingText } from '../../../../server/distill/data/drop-duplicates.ts';
import {
  NearDuplicateIndex,
  nearDuplicateSimilarity,
} from '../../../../server/distill/data/near-duplicates.ts';
import { asSet, jaccard, shingleHashes } from '../../../../server/distill/data/shingles.ts';
import { plainJaccard } from '../../../reference/plain-jaccard.ts';
import { uniform } from '../../../reference/random.ts';

const random = uniform(7);
const below = (n: number): number => Math.floor(random() * n);
const line = (): string => `  const value${below(5000)} = compute(${below(5000)}, "größe ${below(900)}");`;
/** Source-like text of distinct lines under a licence that all of them share. */
const source = (lines: number): string[] => [
  '// Permission is hereby granted, free of charge, to any person obtaining a copy.',
  "import { compute } from './compute';",
  ...Array.from({ length: lines }, line),
];
const edited = (lines: string[], share: number): string[] =>
  lines.map((old) => (random() < share ? line() : old));

/** 40 families: a text and three copies of it, edited more and more. */
const families = Array.from({ length: 40 }, () => {
  const first = source(20 + below(60));
  return [first, edited(first, 0.02), edited(first, 0.1), edited(first, 0.4)].map((lines) =>
    lines.join('\n'),
  );
});
const documents: Document[] = families.flat().map((text, i) => ({ path: `${i}.ts`, text }));
const similarity = (a: string, b: string): number =>
  jaccard(asSet(shingleHashes(a)), asSet(shingleHashes(b)));

describe('shingles', () => {
  it('give the Jaccard similarity of the definition', () => {
    const texts = [...documents.slice(0, 12).map(({ text }) => text), 'one two', 'a b c d e', '漢字仮名交文'];
    for (const a of texts) {
      for (const b of texts) expect(similarity(a, b)).toBeCloseTo(plainJaccard(a, b), 10);
    }
    expect(shingleHashes(' \n\t')).toHaveLength(0);
    expect(shingleHashes('a_b+c')).toEqual(shingleHashes(' a_b \n+ c'));
    expect(similarity('', '')).toBe(0);
  });
});

describe('NearDuplicateIndex', () => {
  it('finds all pairs that are similar enough by the definition, and no others', () => {
    const index = new NearDuplicateIndex(1);
    const sketches = documents.map(({ text }) => index.sketch(text));
    for (const sketch of sketches) index.add(sketch);
    let pairs = 0;
    for (const [i, sketch] of sketches.entries()) {
      const found = [...index.similar(sketch)].sort((a, b) => a - b);
      // Only members of a family can be similar, so only they are compared the slow way …
      const family = Math.floor(i / 4) * 4;
      const expected = [0, 1, 2, 3]
        .map((k) => family + k)
        .filter((k) => plainJaccard(sketch.text, documents[k]?.text ?? '') >= nearDuplicateSimilarity);
      expect(found).toEqual(expected);
      pairs += expected.length;
    }
    // … and the families have pairs on both sides of the threshold.
    expect(pairs).toBeGreaterThan(documents.length * 1.5);
    expect(pairs).toBeLessThan(documents.length * 3.5);
    expect(plainJaccard(families[0]?.[0] ?? '', families[1]?.[0] ?? '')).toBeLessThan(0.3);
  });

  it('has signatures whose agreement estimates the similarity', () => {
    let error = 0;
    for (const [first = '', , third = '', fourth = ''] of families) {
      for (const other of [third, fourth]) {
        const index = new NearDuplicateIndex(below(1e9));
        const [a, b] = [index.sketch(first).signature, index.sketch(other).signature];
        const agreement = a.filter((value, k) => value === b[k]).length / a.length;
        const exact = plainJaccard(first, other);
        // Five standard deviations of a mean of 125 draws.
        expect(Math.abs(agreement - exact)).toBeLessThan(5 * Math.sqrt(0.25 / 125));
        error += agreement - exact;
      }
    }
    // 80 estimates of 125 draws each: unbiased to four standard deviations.
    expect(Math.abs(error / 80)).toBeLessThan(4 * Math.sqrt(0.25 / 125 / 80));
  });

  it('keeps every entry while it grows', () => {
    const index = new NearDuplicateIndex(2);
    const texts = Array.from({ length: 500 }, (_, i) => `${i} `.repeat(7));
    for (const text of texts) index.add(index.sketch(text));
    for (const [i, text] of texts.entries()) expect([...index.similar(index.sketch(text))]).toEqual([i]);
  });
});

describe('dropDuplicates', () => {
  it('keeps the first of exact copies, white space aside', async () => {
    const texts = ['a b', 'a  b\n', 'a c', 'ab', '\ta b'];
    const result = await dropDuplicates(
      texts.map((text, i) => ({ path: `${i}`, text })),
      'exact',
      1,
      {},
    );
    expect(result.kept.map(({ path }) => path)).toEqual(['0', '2', '3']);
    expect([result.exact, result.near]).toEqual([2, 0]);
  });

  it('keeps what a comparison of all pairs keeps', async () => {
    const withCopies = [...documents, ...documents.slice(0, 5)];
    const { kept, exact, near } = await dropDuplicates(withCopies, 'near', 1, {});
    const expected: Document[] = [];
    for (const document of documents) {
      const isNear = (other: Document): boolean =>
        plainJaccard(document.text, other.text) >= nearDuplicateSimilarity;
      if (!expected.slice(-4).some(isNear)) expected.push(document);
    }
    expect(kept.map(({ path }) => path)).toEqual(expected.map(({ path }) => path));
    expect(exact).toBeGreaterThanOrEqual(5);
    expect(kept.length + exact + near).toBe(withCopies.length);
  });

  it('stops when told to', async () => {
    const controller = new AbortController();
    const onProgress = (): void => controller.abort();
    const dropping = dropDuplicates(documents, 'near', 1, { signal: controller.signal, onProgress });
    await expect(dropping).rejects.toMatchObject({ code: 'cancelled' });
  });
});

describe('withoutTrainingText', () => {
  it('drops the held-out documents that training has seen, alike or nearly', async () => {
    const train = families.map(([text = ''], i) => ({ path: `train ${i}`, text }));
    const unseen = Array.from({ length: 5 }, (_, i) => ({
      path: `new ${i}`,
      text: source(40).join('\n'),
    }));
    const heldOut: Document[] = [
      { path: 'near', text: `${families[3]?.[0]}\n${line()}` },
      ...unseen,
      { path: 'same', text: families[9]?.[0] ?? '' },
      { path: 'same but for space', text: ` ${families[9]?.[0]}\n\n` },
    ];
    const names = async (kind: 'near' | 'exact'): Promise<string[]> =>
      (await withoutTrainingText(heldOut, train, kind, 1, {})).map(({ path }) => path);
    expect(await names('near')).toEqual(unseen.map(({ path }) => path));
    expect(await names('exact')).toEqual(['near', ...unseen.map(({ path }) => path)]);
  });
});
