import { randomUUID } from 'node:crypto';
import type { TensorStatistics } from '../../server/protocol/checkpoint-file.ts';
import type { FromFilePage, ToFilePage } from '../../server/protocol/checkpoint-file-page.ts';
import { asOneBitError } from '../../server/protocol/error.ts';
import type { Ending, PanelLink } from '../panel/panel-link.ts';

/** What the page's buttons do in the window. */
export interface FileActions {
  quantize(): void;
  inspect(): void;
  showLog(): void;
}

type Tensors = Extract<FromFilePage, { type: 'tensors' }>;

/**
 * One file in its editor: turns the page's messages into requests about that file and no other, and the answers into
 * messages. The page is loaded anew whenever it is shown, and says `ready` then.
 */
export class FileSession {
  private readonly endings: Ending[];
  private readonly chosen: Promise<void>;
  private statistics: { id: string; name: string; controller: AbortController } | undefined;
  /** Answers to an older reading are dropped. */
  private round = 0;

  /** @param chosen resolves when the server may read the file for this window */
  constructor(
    private readonly path: string,
    private readonly link: PanelLink,
    chosen: Promise<void>,
    private readonly post: (message: ToFilePage) => void,
    private readonly actions: FileActions,
  ) {
    this.chosen = chosen;
    this.endings = [
      link.onDidChangeState(() => void this.read()),
      link.onNotification('checkpoint-file/progress', ({ id, progress }) => {
        if (this.statistics?.id !== id) return;
        this.post({ type: 'progress', name: this.statistics.name, progress });
      }),
    ];
  }

  receive(message: FromFilePage): void {
    switch (message.type) {
      case 'ready':
      case 'retry':
        // Looking at a file starts the server, unless its user has stopped it.
        if (this.link.state.state === 'stopped') this.connect(false);
        return void this.read();
      case 'startServer':
        return this.connect(true);
      case 'showLog':
        return this.actions.showLog();
      case 'tensors':
        return void this.readTensors(message);
      case 'statistics':
        return void this.readStatistics(message.name);
      case 'cancelStatistics':
        return this.statistics?.controller.abort();
      case 'quantize':
        return this.actions.quantize();
      case 'inspect':
        return this.actions.inspect();
    }
  }

  dispose(): void {
    this.round++;
    this.statistics?.controller.abort();
    for (const ending of this.endings) ending.dispose();
  }

  private connect(asked: boolean): void {
    // Why it failed is in the link's state, which the page shows.
    this.link.connect({ asked }).catch(() => undefined);
  }

  private async read(): Promise<void> {
    const round = ++this.round;
    const { state, error } = this.link.state;
    this.post({ type: 'connection', connection: state, error });
    if (state !== 'connected') return;
    try {
      await this.chosen;
      const summary = await this.link.request('checkpoint-file/open', { path: this.path });
      if (round === this.round) this.post({ type: 'summary', summary });
    } catch (caught) {
      this.failed(caught, round);
    }
  }

  private async readTensors({ query, from, count }: Tensors): Promise<void> {
    const { round } = this;
    try {
      const params = { path: this.path, ...query, from, count };
      const tensors = await this.link.request('checkpoint-file/tensors', params);
      if (round === this.round) this.post({ type: 'tensors', query, tensors });
    } catch (caught) {
      this.failed(caught, round);
    }
  }

  private failed(caught: unknown, round: number): void {
    const error = asOneBitError(caught);
    // A connection that ended has its own message.
    if (round === this.round && error.code !== 'disconnected') {
      this.post({ type: 'failed', message: error.message });
    }
  }

  private async readStatistics(name: string): Promise<void> {
    this.statistics?.controller.abort();
    const asked = { id: randomUUID(), name, controller: new AbortController() };
    this.statistics = asked;
    let statistics: TensorStatistics | undefined;
    let message = '';
    try {
      const params = { id: asked.id, path: this.path, name };
      statistics = await this.link.request('checkpoint-file/statistics', params, asked.controller.signal);
    } catch (caught) {
      const error = asOneBitError(caught);
      message = error.code === 'cancelled' ? 'Cancelled.' : error.message;
    }
    // Another tensor took over.
    if (this.statistics !== asked) return;
    this.statistics = undefined;
    if (statistics !== undefined) this.post({ type: 'statistics', statistics });
    else this.post({ type: 'statisticsFailed', name, message });
  }
}
