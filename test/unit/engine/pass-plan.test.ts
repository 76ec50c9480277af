import { describe, expect, test } from 'vitest';
import { planPass } from '../../../server/engine/pass-plan.ts';
import type { Turn } from '../../../server/engine/request-queue.ts';

const item = (name: string, left: number, turn?: Turn) => ({ name, left, request: { turn } });
const bulk = (name: string, left: number) => item(name, left, { priority: 'bulk', client: name });
const editor = (name: string, left: number) => item(name, left, { priority: 'editor', client: name });

type Item = ReturnType<typeof item>;
const plan = (running: Item[], pass: number, editorsWork: boolean): [string, number][] =>
  planPass(running, pass, ({ left }) => left, editorsWork).map(({ running: { name }, tokens }) => [
    name,
    tokens,
  ]);

describe('a pass', () => {
  test('takes all where there are bulk requests alone, of a long prompt a block', () => {
    expect(plan([bulk('a', 1000), bulk('b', 1), bulk('c', 300)], 1, false)).toEqual([
      ['a', 256],
      ['b', 1],
      ['c', 256],
    ]);
  });

  test('is short where an editor may come: prompts share a small block, those that decode go on', () => {
    expect(plan([bulk('a', 40), bulk('b', 90), bulk('c', 50), bulk('d', 1)], 1, true)).toEqual([
      ['a', 40],
      ['b', 24],
      ['d', 1],
    ]);
  });

  test('is the editors’ alone seven times of eight, and hardly longer the eighth', () => {
    const running = [bulk('a', 500), editor('e', 400), bulk('b', 1)];
    for (let pass = 1; pass < 8; pass++) expect(plan(running, pass, true)).toEqual([['e', 256]]);
    expect(plan(running, 8, true)).toEqual([
      ['e', 256],
      ['a', 16],
      ['b', 1],
    ]);
  });

  test('is never empty, and ends every prompt', () => {
    const running = [bulk('a', 777), bulk('b', 300), editor('e', 300), item('plain', 40)];
    for (let pass = 1; running.some(({ left }) => left > 0); pass++) {
      expect(pass).toBeLessThan(1000);
      const going = running.filter(({ left }) => left > 0);
      const members = planPass(going, pass, ({ left }) => left, true);
      expect(members.length).toBeGreaterThan(0);
      for (const { running: each, tokens } of members) {
        expect(tokens).toBeGreaterThan(0);
        each.left -= tokens;
        expect(each.left).toBeGreaterThanOrEqual(0);
      }
    }
  });
});
