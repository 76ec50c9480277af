import type { ChatParams, ChatResult } from '../../server/protocol/chat.ts';
import type { CompletionParams, CompletionResult } from '../../server/protocol/completion.ts';
import { stoppedReason } from '../../server/protocol/discovery.ts';
import { asOneBitError, OneBitError } from '../../server/protocol/error.ts';
import {
  protocolVersion,
  type Notifications,
  type Requests,
  type Topic,
} from '../../server/protocol/methods.ts';
import type { Ending, LinkState, PanelLink } from '../panel/panel-link.ts';
import { BackOff } from './back-off.ts';
import {
  askHealth,
  findOrStartServer,
  findServer,
  serverLogPath,
  type StartServerOptions,
} from './find-server.ts';
import type { OpenFolders } from './open-folders.ts';
import { ServerClient } from './server-client.ts';

export interface ServerLinkOptions {
  /** The extension's version. A server of another version is replaced while nobody uses it. */
  version: string;
  /** What the server may read and write for this window. */
  folders: Pick<OpenFolders, 'all' | 'onDidChange'>;
  /** How to start the server; asked anew each time, since settings change. */
  start(): Omit<StartServerOptions, 'signal'>;
  log(level: 'info' | 'warn' | 'error', message: string): void;
}

const stoppedByUser = 'The OneBit server was stopped.';
const notificationNames: readonly (keyof Notifications)[] = [
  'completion/delta',
  'chat/delta',
  'job/progress',
  'memory/changed',
  'model/changed',
  'inspect/progress',
];
/** So many ends or failed starts in a row, and only a person starts the server again. */
const mostFailures = 3;
/** Milliseconds that a server must have lived for its end to be the first of a row. */
const stableAfterMs = 300_000;

/**
 * This window's one connection to the server that all windows share. It starts the server when it is first
 * needed, comes back after the server went away (more slowly the second time, and after the third only when a person
 * asks for it), and gives its lease back when disposed.
 */
export class ServerLink implements PanelLink {
  private current: LinkState = { state: 'stopped' };
  private client: ServerClient | undefined;
  private connecting: Promise<void> | undefined;
  private readonly lifetime = new AbortController();
  private readonly backOff = new BackOff();
  private reconnectTimer: NodeJS.Timeout | undefined;
  private stableTimer: NodeJS.Timeout | undefined;
  /** Why only the user starts the server again: it was stopped by a user, or ends again and again. */
  private heldBack: string | undefined;
  private readonly stateListeners = new Set<(state: LinkState) => void>();
  private readonly listeners = new Map<keyof Notifications, Set<(params: never) => void>>();
  private readonly topics = new Map<Topic, number>();
  private readonly followsFolders: Ending;

  constructor(private readonly options: ServerLinkOptions) {
    this.followsFolders = options.folders.onDidChange(() => this.sendFolders());
  }

  get state(): LinkState {
    return this.current;
  }

  onDidChangeState(listener: (state: LinkState) => void): Ending {
    this.stateListeners.add(listener);
    return { dispose: () => this.stateListeners.delete(listener) };
  }

  /**
   * Finds or starts the server. With `asked: false` (nobody pressed anything) it does not start a server that
   * the user stopped, nor one that failed a moment ago.
   * @throws OneBitError that says why there is no server
   */
  async connect({ asked = true }: { asked?: boolean } = {}): Promise<void> {
    if (this.client !== undefined && !this.client.closed) return;
    if (!asked && this.connecting === undefined) {
      if (this.heldBack !== undefined) {
        // Another window may have started it again.
        if (await this.attach()) return;
        throw new OneBitError('disconnected', this.heldBack);
      }
      if (this.backOff.waiting) {
        throw new OneBitError('disconnected', this.current.error ?? 'The OneBit server is not reachable.');
      }
    }
    if (asked) {
      this.heldBack = undefined;
      if (this.backOff.count >= mostFailures) this.backOff.succeeded();
    }
    await this.open((signal) => findOrStartServer({ ...this.options.start(), signal }));
  }

  /** Connects to the server if one runs; never starts one. */
  async attach(): Promise<boolean> {
    if (this.client !== undefined && !this.client.closed) return true;
    const address = await findServer(this.options.start().stateFolder, this.lifetime.signal);
    if (address === undefined) return false;
    await this.open(() => Promise.resolve(address));
    return true;
  }

  async request<M extends keyof Requests>(
    method: M,
    params: Requests[M]['params'],
    signal?: AbortSignal,
  ): Promise<Requests[M]['result']> {
    return this.connected().request(method, params, signal);
  }

  /** Text for the gap between prefix and suffix: each piece as it comes, and all of it in the end. */
  async complete(
    params: Omit<CompletionParams, 'id'>,
    onText?: (text: string) => void,
    signal?: AbortSignal,
  ): Promise<CompletionResult> {
    return this.connected().complete(params, onText, signal);
  }

  /** The next turn of a conversation, as `complete`. */
  async chat(
    params: Omit<ChatParams, 'id'>,
    onText?: (text: string) => void,
    signal?: AbortSignal,
  ): Promise<ChatResult> {
    return this.connected().chat(params, onText, signal);
  }

  onNotification<N extends keyof Notifications>(
    method: N,
    listener: (params: Notifications[N]) => void,
  ): Ending {
    const set = this.listeners.get(method) ?? new Set();
    this.listeners.set(method, set);
    set.add(listener);
    return { dispose: () => set.delete(listener) };
  }

  subscribe(topics: Topic[]): Ending {
    this.want(topics, 1);
    let ended = false;
    return {
      dispose: () => {
        if (!ended) this.want(topics, -1);
        ended = true;
      },
    };
  }

  /** Ends the server, for all windows. It is started again only when the user asks for it. */
  async stop(): Promise<void> {
    this.heldBack = stoppedByUser;
    clearTimeout(this.reconnectTimer);
    if (!(await this.attach())) {
      this.setState({ state: 'stopped' });
      return;
    }
    const client = this.connected();
    const gone = new Promise<void>((resolve) => client.onClose(() => resolve()));
    // The answer may be lost when the connection ends: that it ends is the answer.
    await Promise.race([client.request('server/stop', {}).then(() => gone), gone]).catch((error: unknown) => {
      if (asOneBitError(error).code !== 'disconnected') throw error;
    });
  }

  /** Gives the lease back; the server ends by itself when no window needs it. */
  async dispose(): Promise<void> {
    this.lifetime.abort();
    this.followsFolders.dispose();
    clearTimeout(this.reconnectTimer);
    clearTimeout(this.stableTimer);
    this.stateListeners.clear();
    this.listeners.clear();
    await this.client?.close();
  }

  private connected(): ServerClient {
    if (this.client === undefined || this.client.closed) {
      throw new OneBitError('disconnected', 'Not connected to the OneBit server.');
    }
    return this.client;
  }

  private open(findAddress: (signal: AbortSignal) => Promise<{ port: number; token: string; pid: number }>) {
    this.connecting ??= this.openOnce(findAddress).finally(() => (this.connecting = undefined));
    return this.connecting;
  }

  private async openOnce(
    findAddress: (signal: AbortSignal) => Promise<{ port: number; token: string; pid: number }>,
  ): Promise<void> {
    clearTimeout(this.reconnectTimer);
    this.setState({ state: 'starting' });
    const { signal } = this.lifetime;
    try {
      let client = await this.greet(await findAddress(signal));
      if (client.info.version !== this.options.version && (await this.replaceIfIdle(client))) {
        client = await this.greet(await findOrStartServer({ ...this.options.start(), signal }));
      }
      if (client.info.protocol !== protocolVersion) {
        await client.close();
        throw new OneBitError(
          'busy',
          `A OneBit server of version ${client.info.version} is in use by another window or job. Close that window, or run "OneBit: Stop Server" there.`,
        );
      }
      this.adopt(client);
    } catch (caught) {
      const error = asOneBitError(caught);
      if (error.code !== 'cancelled') {
        this.backOff.failed();
        this.options.log('error', error.message);
        if (!this.holdBack(error.message)) this.setState({ state: 'failed', error: error.message });
      }
      throw error;
    }
  }

  private greet(address: { port: number; token: string }): Promise<ServerClient> {
    return ServerClient.connect(address, {
      client: 'vscode',
      version: this.options.version,
      signal: this.lifetime.signal,
    });
  }

  /** Ends a server of another version if only we use it. */
  private async replaceIfIdle(client: ServerClient): Promise<boolean> {
    const address = await findServer(this.options.start().stateFolder);
    const health = address === undefined ? undefined : await askHealth(address);
    if (health === undefined || health.clients > 1 || health.completions > 0 || health.jobs > 0) return false;
    this.options.log('info', `Replacing the server of version ${client.info.version}.`);
    const gone = new Promise<void>((resolve) => client.onClose(() => resolve()));
    await client.request('server/stop', {}).catch(() => {});
    await gone;
    return true;
  }

  private adopt(client: ServerClient): void {
    this.client = client;
    this.heldBack = undefined;
    for (const name of notificationNames) {
      client.onNotification(name, (params) => {
        for (const listener of [...(this.listeners.get(name) ?? [])]) listener(params as never);
      });
    }
    client.onClose((reason) => this.closed(client, reason));
    // A server that dies again and again right after its start must not be started ever faster.
    this.stableTimer = setTimeout(() => this.backOff.succeeded(), stableAfterMs);
    this.stableTimer.unref();
    this.options.log('info', `Connected to server ${client.info.version}, process ${client.info.pid}.`);
    this.sendFolders();
    this.sendTopics();
    this.setState({ state: 'connected' });
  }

  private closed(client: ServerClient, reason: string): void {
    if (this.client !== client) return;
    this.client = undefined;
    clearTimeout(this.stableTimer);
    if (this.lifetime.signal.aborted) return;
    this.options.log('info', `The connection to the server ended: ${reason}.`);
    if (reason === stoppedReason) this.heldBack = stoppedByUser;
    if (this.heldBack === undefined) {
      this.backOff.failed();
      if (this.holdBack(reason)) return;
    }
    this.setState({ state: 'stopped' });
    if (this.heldBack === undefined) this.reconnectLater();
  }

  private reconnectLater(): void {
    if (this.heldBack !== undefined) return;
    this.reconnectTimer = setTimeout(() => {
      this.open((signal) => findOrStartServer({ ...this.options.start(), signal })).catch(
        (error: unknown) => {
          if (asOneBitError(error).code !== 'cancelled') this.reconnectLater();
        },
      );
    }, this.backOff.remainingMs);
    this.reconnectTimer.unref();
  }

  /**
   * Gives up after the third failure in a row, and says so as the state.
   * @param reason of the last one
   */
  private holdBack(reason: string): boolean {
    if (this.backOff.count < mostFailures) return false;
    const { stateFolder } = this.options.start();
    this.heldBack =
      `The OneBit server failed ${this.backOff.count} times in a row and is not started again by itself. ` +
      `"OneBit: Start Server" starts it; ${serverLogPath(stateFolder)} may say more. The last time: ${reason}`;
    this.options.log('error', this.heldBack);
    this.setState({ state: 'failed', error: this.heldBack });
    return true;
  }

  private want(topics: readonly Topic[], change: 1 | -1): void {
    const before = this.wanted().length;
    for (const topic of topics) this.topics.set(topic, (this.topics.get(topic) ?? 0) + change);
    if (this.wanted().length !== before) this.sendTopics();
  }

  private wanted(): Topic[] {
    return [...this.topics].filter(([, count]) => count > 0).map(([topic]) => topic);
  }

  private sendTopics(): void {
    if (this.client === undefined || this.client.closed) return;
    this.client.request('subscribe', { topics: this.wanted() }).catch((error: unknown) => {
      this.options.log('warn', `subscribe: ${asOneBitError(error).message}`);
    });
  }

  /** Requests that follow on this connection are already checked by what is sent here. */
  private sendFolders(): void {
    if (this.client === undefined || this.client.closed) return;
    this.client.request('folders/set', { folders: this.options.folders.all() }).catch((error: unknown) => {
      this.options.log('warn', `folders/set: ${asOneBitError(error).message}`);
    });
  }

  private setState(state: LinkState): void {
    if (state.state === this.current.state && state.error === this.current.error) return;
    this.current = state;
    for (const listener of [...this.stateListeners]) listener(state);
  }
}
