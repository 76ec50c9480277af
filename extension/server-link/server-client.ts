import { WebSocket } from 'ws';
import { createWebSocketConnection, toSocket } from 'vscode-ws-jsonrpc';
import {
  CancellationTokenSource,
  ErrorCodes,
  ResponseError,
  type Logger,
  type MessageConnection,
} from 'vscode-jsonrpc';
import type { ChatParams, ChatResult } from '../../server/protocol/chat.ts';
import type { CompletionParams, CompletionResult } from '../../server/protocol/completion.ts';
import { loopbackHost, webSocketPath } from '../../server/protocol/discovery.ts';
import { OneBitError, rpcErrorNumber, type ErrorCode } from '../../server/protocol/error.ts';
import type { Notifications, Requests, ServerInfo } from '../../server/protocol/methods.ts';

/** Where a server listens and what opens it; a `ServerFile` is one. */
export interface ServerAddress {
  port: number;
  token: string;
}

export interface ConnectOptions {
  /** Name and version of this client, for the server's log. */
  client: string;
  version: string;
  /** Milliseconds to connect and be greeted (default 10 000). */
  timeoutMs?: number;
  signal?: AbortSignal;
}

interface Subscription {
  dispose(): void;
}

/** How a WebSocket says that the other side was gone without a word. */
const abnormalClosure = 1006;

/** How a WebSocket says that a message was too large; there is no text with it. */
const messageTooBig = 1009;

const silent: Logger = { error() {}, warn() {}, info() {}, log() {} };

/**
 * A typed connection to the server: requests, their cancellation, and notifications. While it is open
 * the server stays alive (it holds a lease). It never reconnects by itself: `onClose` says when it ended,
 * and requests in flight are then rejected with `disconnected`.
 */
export class ServerClient {
  private readonly listeners = new Map<string, Set<(params: never) => void>>();
  private readonly closeListeners = new Set<(reason: string) => void>();
  private readonly ended: Promise<never>;
  private closedBecause: string | undefined;
  private greeting: ServerInfo | undefined;
  private nextStream = 1;

  private constructor(
    private readonly socket: WebSocket,
    private readonly connection: MessageConnection,
  ) {
    connection.onNotification((method: string, params: unknown) => {
      for (const listener of [...(this.listeners.get(method) ?? [])]) listener(params as never);
    });
    this.ended = new Promise<never>((_, reject) => {
      socket.once('close', (code, reason) => {
        const because = this.closedBecause ?? (reason.toString() || endingOf(code));
        this.closedBecause = because;
        reject(new OneBitError('disconnected', `The OneBit server is gone: ${because}.`));
        for (const listener of [...this.closeListeners]) listener(because);
      });
    });
    this.ended.catch(() => {});
    connection.listen();
  }

  /**
   * Connects and greets the server.
   * @throws OneBitError `unauthorized` (wrong token), `disconnected` (nobody listens, or no answer in time), `cancelled`
   */
  static async connect(address: ServerAddress, options: ConnectOptions): Promise<ServerClient> {
    const timeoutMs = options.timeoutMs ?? 10_000;
    const deadline = AbortSignal.timeout(timeoutMs);
    const signal = options.signal === undefined ? deadline : AbortSignal.any([options.signal, deadline]);
    if (options.signal?.aborted) throw new OneBitError('cancelled', 'Cancelled.');

    const socket = new WebSocket(`ws://${loopbackHost}:${address.port}${webSocketPath}`, {
      headers: { authorization: `Bearer ${address.token}` },
      perMessageDeflate: false,
      maxPayload: 256 * 2 ** 20,
    });
    const giveUp = (): void => socket.terminate();
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      await opened(socket, address.port);
      // Later errors are followed by a close, which is what is listened to.
      socket.on('error', () => {});
      const connection = createWebSocketConnection(toSocket(socket as never), silent);
      const client = new ServerClient(socket, connection);
      client.greeting = await client.request('server/hello', {
        client: options.client,
        version: options.version,
      });
      return client;
    } catch (error) {
      socket.terminate();
      if (options.signal?.aborted) throw new OneBitError('cancelled', 'Cancelled.', { cause: error });
      if (deadline.aborted) {
        throw new OneBitError(
          'disconnected',
          `The OneBit server on port ${address.port} did not answer within ${timeoutMs} ms.`,
          { cause: error },
        );
      }
      throw error;
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }

  /** What the server said of itself. */
  get info(): ServerInfo {
    if (this.greeting === undefined) throw new Error('The server has not greeted yet.');
    return this.greeting;
  }

  get closed(): boolean {
    return this.closedBecause !== undefined;
  }

  /**
   * Sends a request and resolves with its answer. When `signal` fires the server is told to stop; the
   * promise then settles with the server's answer, which is an error with code `cancelled`, or for
   * `completion` the text so far with finishReason `cancelled`.
   * @throws OneBitError with the server's code and message, or `disconnected`
   */
  async request<M extends keyof Requests>(
    method: M,
    params: Requests[M]['params'],
    signal?: AbortSignal,
  ): Promise<Requests[M]['result']> {
    if (signal?.aborted) throw new OneBitError('cancelled', 'Cancelled.');
    if (this.closedBecause !== undefined || this.socket.readyState !== WebSocket.OPEN) {
      throw new OneBitError(
        'disconnected',
        `The OneBit server is gone: ${this.closedBecause ?? 'the connection is closing'}.`,
      );
    }
    const source = new CancellationTokenSource();
    const cancel = (): void => source.cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      const answer = this.connection.sendRequest<Requests[M]['result']>(method, params, source.token);
      return await Promise.race([answer, this.ended]);
    } catch (error) {
      throw asClientError(error, this.closedBecause);
    } finally {
      signal?.removeEventListener('abort', cancel);
      source.dispose();
    }
  }

  /** `completion` with its streamed text: `onText` gets each piece as it comes, the result holds it all. */
  async complete(
    params: Omit<CompletionParams, 'id'>,
    onText?: (text: string) => void,
    signal?: AbortSignal,
  ): Promise<CompletionResult> {
    return this.streamed('completion/delta', onText, (id) =>
      this.request('completion', { ...params, id }, signal),
    );
  }

  /** `chat` with its streamed text, as `complete`. */
  async chat(
    params: Omit<ChatParams, 'id'>,
    onText?: (text: string) => void,
    signal?: AbortSignal,
  ): Promise<ChatResult> {
    return this.streamed('chat/delta', onText, (id) => this.request('chat', { ...params, id }, signal));
  }

  /** Calls `listener` for every notification of that name; `subscribe` says which topics the server sends. */
  onNotification<N extends keyof Notifications>(
    name: N,
    listener: (params: Notifications[N]) => void,
  ): Subscription {
    const set = this.listeners.get(name) ?? new Set();
    this.listeners.set(name, set);
    set.add(listener);
    return { dispose: () => set.delete(listener) };
  }

  /** Calls `listener` once, when the connection has ended, whoever ended it. */
  onClose(listener: (reason: string) => void): Subscription {
    this.closeListeners.add(listener);
    return { dispose: () => this.closeListeners.delete(listener) };
  }

  private async streamed<T>(
    name: 'completion/delta' | 'chat/delta',
    onText: ((text: string) => void) | undefined,
    ask: (id: string) => Promise<T>,
  ): Promise<T> {
    const own = `c${this.nextStream++}`;
    const subscription = this.onNotification(name, ({ id, text }) => {
      if (id === own) onText?.(text);
    });
    try {
      return await ask(own);
    } finally {
      subscription.dispose();
    }
  }

  /** Ends the connection and gives its lease back. Requests in flight are rejected with `disconnected`. */
  async close(): Promise<void> {
    if (this.socket.readyState === WebSocket.CLOSED) return;
    this.closedBecause ??= 'closed by this client';
    const gone = new Promise<void>((resolve) => this.socket.once('close', () => resolve()));
    this.socket.close(1000);
    const timer = setTimeout(() => this.socket.terminate(), 1000);
    await gone;
    clearTimeout(timer);
    this.connection.dispose();
  }
}

/** Resolves when the socket is open; rejects with an error that says why it is not. */
function opened(socket: WebSocket, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('open', () => resolve());
    socket.once('error', (error) => {
      reject(
        new OneBitError('disconnected', `No OneBit server answers on port ${port}: ${error.message}`, {
          cause: error,
        }),
      );
    });
    socket.once('unexpected-response', (_request, response) => {
      const refused = response.statusCode === 401 || response.statusCode === 403;
      reject(
        new OneBitError(
          refused ? 'unauthorized' : 'disconnected',
          refused
            ? `The OneBit server on port ${port} refused the token. Read server.json again: the server was restarted.`
            : `What listens on port ${port} is no OneBit server (HTTP ${response.statusCode}).`,
        ),
      );
      response.resume();
    });
  });
}

/** Why a connection is over that was not ended with a reason: a process that dies says none. */
function endingOf(code: number): string {
  if (code === messageTooBig) return 'a message was over its limit of 8 MiB: send less text at a time';
  return code === abnormalClosure ? 'its process ended' : `the connection ended (code ${code})`;
}

/**
 * The server's error with its own code; anything else as `internal` or `disconnected`.
 * @param closedBecause why the connection is over, if it is: what the transport says of that is no help to anybody
 */
function asClientError(error: unknown, closedBecause: string | undefined): OneBitError {
  if (error instanceof OneBitError) return error;
  if (error instanceof ResponseError && error.code !== ErrorCodes.PendingResponseRejected) {
    const code: unknown = (error.data as { code?: unknown } | undefined)?.code;
    return new OneBitError(isErrorCode(code) ? code : 'internal', error.message, { cause: error });
  }
  const because = closedBecause ?? 'the connection ended';
  return new OneBitError('disconnected', `The OneBit server is gone: ${because}.`, { cause: error });
}

function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(rpcErrorNumber, code);
}
