import { describe, expect, it } from 'vitest';
import { OneBitError } from '../../../server/protocol/error.ts';
import type { InspectLayersResult } from '../../../server/protocol/inspect.ts';
import type { Asks } from '../../../webview/layers/asks.ts';
import { Comparison } from '../../../webview/layers/comparison.ts';

const result = (model: string, other?: string): InspectLayersResult => ({
  ...{ model, layers: [], recurringOutliers: [], cached: false },
  ...(other === undefined ? {} : { other }),
});
const settled = () => new Promise((resolve) => setImmediate(resolve));

/** Answers at once, or when told to; models whose name begins with "bad" cannot be read. */
function comparison({ hold = false } = {}) {
  const asked: string[] = [];
  const waiting: (() => void)[] = [];
  let changes = 0;
  const ask = async (
    method: string,
    { model, other }: { model: string; other?: string },
    signal?: AbortSignal,
  ) => {
    if (method === 'inspect/checkpoints') return { checkpoints: [{ path: '/s', step: 1, kind: 'packed' }] };
    asked.push(other === undefined ? model : `${model} against ${other}`);
    if (hold) await new Promise<void>((resolve) => waiting.push(resolve));
    if (signal?.aborted === true) throw new OneBitError('cancelled', 'Cancelled.');
    if (model.startsWith('bad')) throw new OneBitError('bad-file', 'It is cut.');
    return result(model, other);
  };
  const made = new Comparison({ ask } as unknown as Asks, () => changes++);
  return { made, asked, waiting, changes: () => changes };
}

const base = result('m');

describe('a comparison of checkpoints', () => {
  it('asks for both, once, and shows the choice before until both are there', async () => {
    const { made, asked, changes } = comparison();
    expect(made.get(base, {})).toEqual({ result: base });
    expect(made.get(base, { at: 'b', other: 'a' })).toEqual({ result: base });
    made.get(base, { at: 'b', other: 'a' });
    await settled();
    expect(changes()).toBeGreaterThan(0);
    expect(made.get(base, { at: 'b', other: 'a' })).toEqual({
      result: result('b', 'a'),
      before: result('a'),
    });
    expect(made.get(base, { at: 'a' })).toEqual({ result: result('a'), before: undefined });
    await settled();
    expect(asked).toEqual(['a', 'b against a']);
    expect(made.checkpoints).toHaveLength(1);
  });

  it('gives up what is no longer wanted, and does not show it later', async () => {
    const { made, asked, waiting } = comparison({ hold: true });
    made.get(base, { at: 'b' });
    made.get(base, { at: 'c' });
    for (const go of waiting) go();
    await settled();
    expect(asked).toEqual(['b', 'c']);
    expect(made.get(base, { at: 'c' }).result.model).toBe('c');
    expect(made.get(base, {}).result).toBe(base);
  });

  it('says what cannot be read, once, and nothing of it after another choice', async () => {
    const { made, asked } = comparison();
    made.get(base, { other: 'bad one' });
    await settled();
    expect(made.get(base, { other: 'bad one' }).result).toBe(base);
    expect(made.error).toBe('It is cut.');
    await settled();
    expect(asked).toEqual(['bad one']);
    made.get(base, {});
    expect(made.error).toBeUndefined();
  });

  it('is not compared with itself', () => {
    const { made, asked } = comparison();
    expect(made.get(base, { other: 'm' })).toEqual({ result: base, before: undefined });
    expect(asked).toEqual([]);
  });

  it('forgets everything when the model has been read again', async () => {
    const { made, asked } = comparison();
    made.get(base, { at: 'b' });
    await settled();
    const again = result('m');
    expect(made.get(again, { at: 'b' }).result).toBe(again);
    await settled();
    expect(asked).toEqual(['b', 'b']);
  });
});
