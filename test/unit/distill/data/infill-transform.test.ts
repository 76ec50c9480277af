import { describe, expect, it } from 'vitest';
import {
  infillIds,
  splitForInfill,
  type InfillSplit,
} from '../../../../server/distill/data/infill-transform.ts';
import { Random } from '../../../../server/distill/random.ts';
import { characterTokenizer } from '../../../reference/character-tokenizer.ts';

const text = 'function add(a, b) {\n  return a + b; // 👍\n}\n\nexport { add };\n';
const tokens = { prefix: -1, suffix: -2, middle: -3 };

describe('splitForInfill', () => {
  it.each<InfillSplit>(['character', 'line', 'mixed'])(
    '%s: the parts are the text, uncut characters',
    (how) => {
      const random = new Random(5);
      for (let i = 0; i < 300; i++) {
        const { prefix, middle, suffix } = splitForInfill(text, how, random);
        expect(prefix + middle + suffix).toBe(text);
        for (const part of [prefix, middle, suffix])
          expect(part).not.toMatch(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/);
      }
    },
  );

  it('cuts anywhere by character, at line ends by line', () => {
    const random = new Random(6);
    const ends = new Set<number>();
    const starts = new Set<number>();
    for (let i = 0; i < 2000; i++) {
      const { prefix, middle } = splitForInfill(text, 'character', random);
      starts.add(prefix.length);
      ends.add(prefix.length + middle.length);
    }
    // Every place but the one inside the emoji can begin and end a middle.
    expect(starts.size).toBe(text.length);
    expect(ends.size).toBe(text.length);
    for (let i = 0; i < 500; i++) {
      const { middle, suffix } = splitForInfill(text, 'line', random);
      expect(suffix === '' || suffix.startsWith('\n'), JSON.stringify(middle)).toBe(true);
    }
  });
});

describe('infillIds', () => {
  const parts = { prefix: 'abcdef', middle: 'XY', suffix: 'uvwxyz' };
  const read = (room: number) => infillIds(parts, characterTokenizer, tokens, 0, room);
  const ids = (part: string) => characterTokenizer.encode(part);

  it('writes prefix, suffix, middle and the end', () => {
    expect(read(100)).toEqual([-1, ...ids('abcdef'), -2, ...ids('uvwxyz'), -3, ...ids('XY'), 0]);
  });

  it("drops the suffix's end, then the prefix's start, and never the middle", () => {
    expect(read(15)).toEqual([-1, ...ids('abcdef'), -2, ...ids('uvw'), -3, ...ids('XY'), 0]);
    expect(read(9)).toEqual([-1, ...ids('def'), -2, -3, ...ids('XY'), 0]);
    expect(read(6)).toEqual([-1, -2, -3, ...ids('XY'), 0]);
    expect(read(5)).toBeUndefined();
  });
});
