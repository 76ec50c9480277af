import type { PanelConnection } from '../../server/protocol/panel.ts';
import type { Notifications, Requests, Topic } from '../../server/protocol/methods.ts';

/** Ends a listener or a subscription. The same shape as vscode.Disposable, without needing vscode. */
export interface Ending {
  dispose(): void;
}

export interface LinkState {
  state: PanelConnection;
  /** Why, when failed. */
  error?: string;
}

/**
 * What the panel needs of the connection to the server. The window's one server link gives it;
 * tests give it a connection of their own.
 */
export interface PanelLink {
  readonly state: LinkState;
  onDidChangeState(listener: (state: LinkState) => void): Ending;
  /**
   * Finds or starts the server; rejects when it cannot be started. Does nothing when connected.
   * With `asked: false` (nobody pressed anything) a server that the user stopped stays stopped.
   */
  connect(options?: { asked?: boolean }): Promise<void>;
  /** Rejects when not connected, and with the server's error. The signal cancels the request on the server. */
  request<M extends keyof Requests>(
    method: M,
    params: Requests[M]['params'],
    signal?: AbortSignal,
  ): Promise<Requests[M]['result']>;
  onNotification<N extends keyof Notifications>(
    method: N,
    listener: (params: Notifications[N]) => void,
  ): Ending;
  /**
   * Asks the server for the notifications of these topics until disposed. Counted, so that several
   * parts of the window can want the same topic; asked for again after a reconnect.
   */
  subscribe(topics: Topic[]): Ending;
}
