import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import { WebSocketMessageReader, WebSocketMessageWriter } from 'vscode-ws-jsonrpc';
import {
  createMessageConnection,
  ErrorCodes,
  Message,
  ResponseError,
  type Logger,
  type MessageConnection,
} from 'vscode-jsonrpc';
import { webSocketPath } from '../protocol/discovery.ts';
import { asOneBitError, rpcErrorNumber } from '../protocol/error.ts';
import type { Notifications, Topic } from '../protocol/methods.ts';
import { addressOf, unauthorized, type Access } from './access.ts';
import { refuseConnection } from './broken-requests.ts';
import { FrameGate, maxFrameBytes } from './frame-gate.ts';
import type { Leases } from './leases.ts';
import { bind, type Caller, type Services } from './rpc-methods.ts';

/** Connections at a time; a machine has fewer windows. */
const maxConnections = 64;
const closeGoingAway = 1001;
let connectionCount = 0;

/** The WebSocket endpoint: one JSON-RPC connection a client, each a lease on the server once it has said hello. */
export class RpcEndpoint {
  private readonly webSockets = new WebSocketServer({
    noServer: true,
    maxPayload: maxFrameBytes,
    perMessageDeflate: false,
  });
  private readonly clients = new Set<Client>();

  constructor(
    http: Server,
    private readonly access: Access,
    private readonly services: Services,
    private readonly leases: Leases,
    private readonly log: (message: string) => void,
  ) {
    http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.upgrade(request, socket, head);
    });
  }

  get connections(): number {
    return this.clients.size;
  }

  /** Whether anybody asked for this topic. */
  wanted(topic: Topic): boolean {
    return [...this.clients].some((client) => client.topics.has(topic));
  }

  /** Sends a notification to those who asked for its topic. */
  broadcast<N extends keyof Notifications>(topic: Topic, name: N, params: Notifications[N]): void {
    for (const client of this.clients) if (client.topics.has(topic)) client.notify(name, params);
  }

  /** Cancels what runs and ends every connection. */
  close(reason: string): void {
    for (const client of [...this.clients]) client.end(reason);
    this.webSockets.close();
  }

  private upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Until ws has taken the socket over, nobody else listens for its errors.
    const onError = (): void => void socket.destroy();
    socket.on('error', onError);
    const refusal =
      this.access.refuseOrigin(request) ??
      (this.access.upgradeToken(request) === 'right' ? undefined : unauthorized);
    if (refusal !== undefined) return refuseConnection(socket, refusal.status, refusal.message);
    if (addressOf(request)?.pathname !== webSocketPath) {
      return refuseConnection(socket, 404, `The WebSocket endpoint is ${webSocketPath}.`);
    }
    if (this.clients.size >= maxConnections) {
      return refuseConnection(
        socket,
        503,
        `${maxConnections} clients are connected already, the most possible: close a window, or try again later.`,
        ['Retry-After: 5'],
      );
    }
    socket.off('error', onError);
    this.webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      const client = new Client(webSocket, this.services, this.leases, this.log);
      this.clients.add(client);
      webSocket.on('close', () => this.clients.delete(client));
    });
  }
}

class Client implements Caller {
  readonly topics = new Set<Topic>();
  readonly name = `connection ${++connectionCount}`;
  folders: readonly string[] = [];
  private readonly connection: MessageConnection;
  /** What runs for this client; nothing goes on for one that has gone. */
  private readonly running = new Set<AbortController>();
  private gone = false;
  private lease: { dispose(): void } | undefined;

  constructor(
    private readonly socket: WebSocket,
    private readonly services: Services,
    private readonly leases: Leases,
    private readonly log: (message: string) => void,
  ) {
    this.connection = connectionOver(new FrameGate(socket));
    this.connection.onRequest(async (name, params, token) => {
      const controller = new AbortController();
      this.running.add(controller);
      if (token.isCancellationRequested || this.gone) controller.abort();
      const subscription = token.onCancellationRequested(() => controller.abort());
      try {
        return await this.answer(name, params, controller.signal);
      } finally {
        subscription.dispose();
        this.running.delete(controller);
      }
    });
    socket.on('close', () => {
      this.cancelAll();
      this.lease?.dispose();
      this.connection.dispose();
    });
    this.connection.listen();
  }

  greeted(client: string, version: string): void {
    if (this.lease !== undefined) return;
    this.lease = this.leases.take();
    this.log(`${client} ${version} connected`);
  }

  subscribe(topics: readonly Topic[]): void {
    this.topics.clear();
    for (const topic of topics) this.topics.add(topic);
  }

  notify<N extends keyof Notifications>(name: N, params: Notifications[N]): void {
    if (this.socket.readyState !== this.socket.OPEN) return;
    void this.connection.sendNotification(name, params).catch(() => {});
  }

  end(reason: string): void {
    this.cancelAll();
    this.socket.close(closeGoingAway, reason);
    // A client that does not answer the closing frame must not hold the server up.
    setTimeout(() => this.socket.terminate(), 300).unref();
  }

  private cancelAll(): void {
    this.gone = true;
    for (const controller of this.running) controller.abort();
  }

  private async answer(name: string, params: unknown, signal: AbortSignal): Promise<unknown> {
    try {
      const run = bind(name, params);
      if (run === undefined) {
        return new ResponseError(ErrorCodes.MethodNotFound, `There is no method "${name.slice(0, 100)}".`, {
          code: 'bad-request',
        });
      }
      return await run(this.services, this, signal);
    } catch (caught) {
      const error = asOneBitError(caught);
      if (error.code === 'internal') this.log(`${name}: ${caught instanceof Error ? caught.stack : caught}`);
      return new ResponseError(rpcErrorNumber[error.code], error.message, { code: error.code });
    }
  }
}

/** A JSON-RPC connection over the gate, which learns of every answer so that the request's id is free again. */
function connectionOver(gate: FrameGate): MessageConnection {
  class Writer extends WebSocketMessageWriter {
    override async write(message: Message): Promise<void> {
      if (Message.isResponse(message) && message.id !== null) gate.answered(message.id);
      await super.write(message);
    }
  }
  const silent: Logger = { error: () => {}, warn: () => {}, info: () => {}, log: () => {} };
  return createMessageConnection(new WebSocketMessageReader(gate), new Writer(gate), silent);
}
