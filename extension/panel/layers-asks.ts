import { asOneBitError } from '../../server/protocol/error.ts';
import {
  type FromLayers,
  layersMethods,
  type LayersAsk,
  type ToLayers,
} from '../../server/protocol/panel-layers.ts';
import type { PanelLink } from './panel-link.ts';

/** Passes the questions of the Layers tab on to the server. Those that are open when the panel hides are cancelled. */
export class LayersAsks {
  private readonly open = new Map<number, AbortController>();

  constructor(
    private readonly link: PanelLink,
    private readonly post: (message: ToLayers) => void,
  ) {}

  receive(message: FromLayers): void {
    if (message.type === 'cancelAsk') this.open.get(message.ask)?.abort();
    // The page is ours, but nothing of it may reach another method of the server.
    else if (layersMethods.includes(message.method)) void this.answer(message);
  }

  /** The page that asked is gone: nobody waits for the answers. */
  hide(): void {
    for (const controller of this.open.values()) controller.abort();
    this.open.clear();
  }

  private async answer({ ask, method, params }: LayersAsk): Promise<void> {
    const controller = new AbortController();
    this.open.set(ask, controller);
    const id = 'id' in params ? params.id : undefined;
    const listening = this.link.onNotification('inspect/progress', ({ id: of, progress }) => {
      if (id !== undefined && of === id && this.open.get(ask) === controller) {
        this.post({ type: 'askProgress', ask, progress });
      }
    });
    let message: ToLayers;
    try {
      message = { type: 'answer', ask, result: await this.link.request(method, params, controller.signal) };
    } catch (caught) {
      const { code, message: text } = asOneBitError(caught);
      message = { type: 'answerError', ask, code, message: text };
    } finally {
      listening.dispose();
    }
    // Forgotten, or another page's question of the same number.
    if (this.open.get(ask) !== controller) return;
    this.open.delete(ask);
    this.post(message);
  }
}
