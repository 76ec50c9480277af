import type { RawData, WebSocket } from 'ws';
import type { IWebSocket } from 'vscode-ws-jsonrpc';
import { unreadMs } from './event-stream.ts';

/** Bytes of one frame from a client; a bigger one ends the connection with 1009. */
export const maxFrameBytes = 8 * 2 ** 20;
/** Bytes that may wait for a client that does not read; beyond them the connection ends, and at any number after `unreadMs`. */
const maxWaitingBytes = 32 * 2 ** 20;
/** Malformed frames that are answered before the connection ends. */
const maxMalformed = 100;
/** Requests of one connection that may be unanswered. */
const maxOpenRequests = 256;

/** Reasons to end a connection (RFC 6455, 7.4.1). */
const closeCodes = { unsupportedData: 1003, policy: 1008, tryLater: 1013 } as const;

const parseError = -32700;
const invalidRequest = -32600;

/**
 * Stands between a WebSocket and the JSON-RPC connection: lets well-formed JSON-RPC 2.0 requests and
 * notifications through and answers everything else with an error (JSON-RPC 2.0, 5.1) itself, so that
 * nothing a client sends can surprise what lies behind.
 */
export class FrameGate implements IWebSocket {
  private readonly openIds = new Set<string | number>();
  private malformed = 0;
  private sentBytes = 0;
  private watch: NodeJS.Timeout | undefined;

  constructor(private readonly socket: WebSocket) {}

  onMessage(listener: (message: string) => void): void {
    this.socket.on('message', (data: RawData, isBinary: boolean) => {
      if (isBinary) {
        this.socket.close(
          closeCodes.unsupportedData,
          'Binary frames are not understood: send JSON-RPC 2.0 as text.',
        );
        return;
      }
      const text = rawText(data);
      const problem = this.check(text);
      if (problem === undefined) listener(text);
      else if (problem !== 'ignore') this.refuse(problem);
    });
  }

  onError(listener: (reason: unknown) => void): void {
    this.socket.on('error', listener);
  }

  onClose(listener: (code: number, reason: string) => void): void {
    this.socket.on('close', (code, reason) => listener(code, reason.toString()));
  }

  send(content: string): void {
    if (this.socket.readyState !== this.socket.OPEN) return;
    if (this.socket.bufferedAmount > maxWaitingBytes) return this.giveUp();
    this.socket.send(content);
    this.sentBytes += Buffer.byteLength(content);
    if (this.socket.bufferedAmount > 0) this.watch ??= this.watchReading();
  }

  /** Looks from time to time whether the client reads what waits for it, until nothing does. */
  private watchReading(): NodeJS.Timeout {
    const readBytes = (): number => this.sentBytes - this.socket.bufferedAmount;
    let before = readBytes();
    const look = (): void => {
      const now = readBytes();
      const waits = this.socket.bufferedAmount > 0 && this.socket.readyState === this.socket.OPEN;
      if (waits && now <= before) return this.giveUp();
      before = now;
      this.watch = waits ? setTimeout(look, unreadMs).unref() : undefined;
    };
    return setTimeout(look, unreadMs).unref();
  }

  private giveUp(): void {
    this.socket.close(closeCodes.tryLater, 'This client does not read what it asked for.');
    this.socket.terminate();
  }

  dispose(): void {
    this.socket.close();
  }

  /** Call when a request has been answered: its id may be used again. */
  answered(id: string | number): void {
    this.openIds.delete(id);
  }

  /** What is wrong with a frame, if anything. */
  private check(text: string): Problem | 'ignore' | undefined {
    let message: unknown;
    try {
      message = JSON.parse(text);
    } catch {
      return { id: null, code: parseError, message: 'The frame is not JSON.' };
    }
    if (Array.isArray(message)) {
      return {
        id: null,
        code: invalidRequest,
        message: 'Batches are not supported: send one message a frame.',
      };
    }
    if (typeof message !== 'object' || message === null) {
      return { id: null, code: invalidRequest, message: 'The frame is no JSON-RPC 2.0 message.' };
    }
    const { jsonrpc, id, method, params } = message as Record<string, unknown>;
    const validId = typeof id === 'string' || (typeof id === 'number' && Number.isFinite(id));
    const answerTo = validId ? id : null;
    const invalid = (what: string): Problem => ({ id: answerTo, code: invalidRequest, message: what });
    if (jsonrpc !== '2.0') return invalid('"jsonrpc" must be "2.0".');
    if (typeof method !== 'string') {
      // An answer: this server asks nothing, so there is nothing that it could belong to.
      if (method === undefined && ('result' in message || 'error' in message)) return 'ignore';
      return invalid('"method" must be a string.');
    }
    if (params !== undefined && (typeof params !== 'object' || params === null)) {
      return invalid('"params" must be an object.');
    }
    if (id === undefined) {
      const cancelled = (params as { id?: unknown } | undefined)?.id;
      const cancels = method === '$/cancelRequest';
      if (cancels && !(typeof cancelled === 'string' || typeof cancelled === 'number')) {
        return invalid('$/cancelRequest needs the id of the request: {"id": …}.');
      }
      // The cancellation of what has been answered already crossed the answer on its way.
      return cancels && !this.openIds.has(cancelled as string | number) ? 'ignore' : undefined;
    }
    if (!validId) return invalid('"id" must be a string or a number.');
    if (this.openIds.has(id)) {
      // Under its own id the error would be taken for the other request's answer.
      return {
        id: null,
        code: invalidRequest,
        message: `Request ${JSON.stringify(id)} is not answered yet.`,
      };
    }
    if (this.openIds.size >= maxOpenRequests) {
      return invalid(
        `${maxOpenRequests} requests of this connection are not answered yet, the most possible: wait for some.`,
      );
    }
    this.openIds.add(id);
    return undefined;
  }

  private refuse({ id, code, message }: Problem): void {
    this.malformed++;
    this.send(
      JSON.stringify({ jsonrpc: '2.0', id, error: { code, message, data: { code: 'bad-request' } } }),
    );
    if (this.malformed >= maxMalformed) {
      this.socket.close(closeCodes.policy, 'Too many malformed frames.');
    }
  }
}

interface Problem {
  id: string | number | null;
  code: number;
  message: string;
}

function rawText(data: RawData): string {
  if (Array.isArray(data)) return Buffer.concat(data).toString('utf8');
  return (data instanceof ArrayBuffer ? Buffer.from(data) : data).toString('utf8');
}
