import type { ModelStatus } from '../../server/protocol/model.ts';
import type { ServerLink } from './server-link.ts';
import type { ServerWatch } from './server-watch.ts';

export interface WantedModel {
  /** A folder, or `starter`. */
  model: string;
  /** Tokens; 0 = what the model was made for. */
  contextLength: number;
  /** `auto`, `cpu`, `gpu`, or `gpu:` and part of a name. */
  device: string;
}

/** Has the server load the model that the settings name, once it is needed. */
export class ModelLoader {
  private loading: Promise<ModelStatus> | undefined;

  constructor(
    private readonly link: ServerLink,
    private readonly watch: ServerWatch,
    private readonly wanted: () => WantedModel,
  ) {}

  /**
   * Loads the wanted model if the server has none. A model that another window or the panel has loaded
   * stays; one that was unloaded while idle comes back by itself with the next completion.
   * @throws OneBitError with the server's reason; a model that failed is not tried again until it is chosen anew
   */
  async ensureLoaded(): Promise<void> {
    const status = this.watch.model ?? (await this.link.request('model/status', {}));
    if (status.state === 'none') await this.load();
  }

  /** Loads the wanted model, whatever is loaded now. */
  load(): Promise<ModelStatus> {
    this.loading ??= this.request().finally(() => (this.loading = undefined));
    return this.loading;
  }

  private request(): Promise<ModelStatus> {
    const { model, contextLength, device } = this.wanted();
    return this.link.request('model/load', {
      model,
      device,
      ...(contextLength > 0 ? { contextLength } : {}),
    });
  }
}
