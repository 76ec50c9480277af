import { OneBitError } from '../../server/protocol/error.ts';
import type { Requests } from '../../server/protocol/methods.ts';
import type { ToPanel } from '../../server/protocol/panel.ts';
import type { LayersAsk, LayersMethod } from '../../server/protocol/panel-layers.ts';
import type { Progress } from '../../server/protocol/progress.ts';
import type { Host } from '../page/host.ts';

interface Open {
  resolve(result: unknown): void;
  progress?(progress: Progress): void;
  reject(error: Error): void;
}

/** Questions to the server, through the extension. */
export class Asks {
  private readonly open = new Map<number, Open>();
  private last = 0;

  constructor(private readonly host: Host) {
    window.addEventListener('message', (event: MessageEvent<ToPanel>) => this.receive(event.data));
  }

  /** Rejects with the server's error; with `cancelled` as soon as the signal is aborted. */
  ask<M extends LayersMethod>(
    method: M,
    params: Requests[M]['params'],
    signal?: AbortSignal,
    onProgress?: (progress: Progress) => void,
  ): Promise<Requests[M]['result']> {
    const ask = ++this.last;
    return new Promise<Requests[M]['result']>((resolve, reject) => {
      this.open.set(ask, {
        resolve: (result) => resolve(result as Requests[M]['result']),
        reject,
        progress: onProgress,
      });
      signal?.addEventListener('abort', () => {
        if (!this.open.delete(ask)) return;
        this.host.post({ type: 'cancelAsk', ask });
        reject(new OneBitError('cancelled', 'Cancelled.'));
      });
      this.host.post({ type: 'ask', ask, method, params } as LayersAsk);
    });
  }

  private receive(message: ToPanel): void {
    if (message.type === 'askProgress') this.open.get(message.ask)?.progress?.(message.progress);
    if (message.type !== 'answer' && message.type !== 'answerError') return;
    const open = this.open.get(message.ask);
    this.open.delete(message.ask);
    if (message.type === 'answer') open?.resolve(message.result);
    else open?.reject(new OneBitError(message.code, message.message));
  }
}
