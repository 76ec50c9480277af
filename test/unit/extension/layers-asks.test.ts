import { describe, expect, it } from 'vitest';
import { LayersAsks } from '../../../extension/panel/layers-asks.ts';
import type { PanelLink } from '../../../extension/panel/panel-link.ts';
import { OneBitError } from '../../../server/protocol/error.ts';
import type { InspectProgress, InspectTileResult } from '../../../server/protocol/inspect.ts';
import type { LayersAsk, ToLayers } from '../../../server/protocol/panel-layers.ts';

const tile: InspectTileResult = { width: 1, height: 1, cells: 'fw==' };
const question = (ask: number): LayersAsk => ({
  ...{ type: 'ask', ask, method: 'inspect/tile' },
  params: { model: '/m', name: 'n', level: 0, x: ask, y: 0 },
});

/** A link whose requests are answered by hand. */
function pending() {
  const asked: { method: string; params: unknown; signal?: AbortSignal }[] = [];
  const open: { resolve(result: unknown): void; reject(error: Error): void }[] = [];
  const request = (method: string, params: unknown, signal?: AbortSignal) => {
    asked.push({ method, params, signal });
    return new Promise((resolve, reject) => {
      open.push({ resolve, reject });
      signal?.addEventListener('abort', () => reject(new OneBitError('cancelled', 'Cancelled.')));
    });
  };
  const listeners = new Set<(params: InspectProgress) => void>();
  const onNotification = (_: string, listener: (params: InspectProgress) => void) => {
    listeners.add(listener);
    return { dispose: () => listeners.delete(listener) };
  };
  const posted: ToLayers[] = [];
  const asks = new LayersAsks({ request, onNotification } as unknown as PanelLink, (message) =>
    posted.push(message),
  );
  return { asked, open, posted, asks, listeners };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('the questions of the Layers tab', () => {
  it('go to the server as they are, and each gets its own answer, in whatever order', async () => {
    const { asked, open, posted, asks } = pending();
    asks.receive(question(1));
    asks.receive(question(2));
    expect(asked.map(({ method, params }) => [method, params])).toEqual(
      [1, 2].map((ask) => ['inspect/tile', question(ask).params]),
    );
    open[1]?.resolve(tile);
    await settled();
    open[0]?.reject(new OneBitError('bad-file', 'It is truncated.'));
    await settled();
    expect(posted).toEqual([
      { type: 'answer', ask: 2, result: tile },
      { type: 'answerError', ask: 1, code: 'bad-file', message: 'It is truncated.' },
    ]);
  });

  it('reach no method of the server but those of the tab', async () => {
    const { asked, posted, asks } = pending();
    for (const method of ['server/stop', 'job/start', 'folders/set', 'constructor']) {
      asks.receive({ ...question(1), method } as unknown as LayersAsk);
    }
    await settled();
    expect(asked).toEqual([]);
    expect(posted).toEqual([]);
  });

  it('say how far they are, each its own progress, and nothing after the answer', async () => {
    const { open, posted, asks, listeners } = pending();
    const layers = (ask: number, id: string): LayersAsk => ({
      ...{ type: 'ask', ask, method: 'inspect/layers' },
      params: { id, model: '/m' },
    });
    asks.receive(layers(1, 'one'));
    asks.receive(layers(2, 'two'));
    const progress = { phase: 'inspect', done: 3, total: 7, unit: 'tensors' as const };
    for (const id of ['two', 'unknown']) for (const listener of [...listeners]) listener({ id, progress });
    expect(posted).toEqual([{ type: 'askProgress', ask: 2, progress }]);
    for (const { resolve } of open) resolve({});
    await settled();
    expect(listeners.size).toBe(0);
  });

  it('are cancelled on the server when the page gives one up', async () => {
    const { asked, posted, asks } = pending();
    asks.receive(question(1));
    asks.receive(question(2));
    asks.receive({ type: 'cancelAsk', ask: 1 });
    asks.receive({ type: 'cancelAsk', ask: 77 });
    await settled();
    expect(asked.map(({ signal }) => signal?.aborted)).toEqual([true, false]);
    expect(posted).toEqual([expect.objectContaining({ type: 'answerError', ask: 1, code: 'cancelled' })]);
  });

  it('are cancelled when the panel is hidden; the next page gets no answers of the one before', async () => {
    const { asked, open, posted, asks } = pending();
    asks.receive(question(1));
    asks.hide();
    expect(asked[0]?.signal?.aborted).toBe(true);
    // A page that is loaded anew counts from 1 again.
    asks.receive(question(1));
    await settled();
    expect(posted).toEqual([]);
    open[1]?.resolve(tile);
    await settled();
    expect(posted).toEqual([{ type: 'answer', ask: 1, result: tile }]);
  });
});
