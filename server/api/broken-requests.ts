import { STATUS_CODES, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

/** Milliseconds in which a request must have come in whole, so that one that never ends holds nothing. */
export const requestTimeoutMs = 60_000;

/**
 * Answers what never becomes a request for the routes: one that does not arrive in time, whose head is too large, or
 * that is no HTTP. Node alone would send a bare status, and nobody would learn which limit it was.
 */
export function answerBrokenRequests(http: Server): void {
  const last = new WeakMap<Duplex, { request: IncomingMessage; response: ServerResponse }>();
  http.on('request', (request: IncomingMessage, response: ServerResponse) => {
    last.set(request.socket, { request, response });
  });
  http.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    const current = last.get(socket);
    const answered = current?.request.complete === false && current.response.headersSent;
    if (!socket.writable || answered || error.code === 'ECONNRESET') return void socket.destroy();
    const { status, message } = whatIsBroken(error);
    refuseConnection(socket, status, message);
  });
}

/** Answers on a connection that no route has, and ends it. @param headers further ones, `Name: value` */
export function refuseConnection(
  socket: Duplex,
  status: number,
  message: string,
  headers: readonly string[] = [],
): void {
  const body = JSON.stringify({ error: { message, code: status, type: 'invalid_request_error' } });
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'Connection: close',
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...headers,
  ];
  socket.once('finish', () => socket.destroy());
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}

function whatIsBroken({ code }: NodeJS.ErrnoException): { status: number; message: string } {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT': {
      const seconds = requestTimeoutMs / 1000;
      return { status: 408, message: `The request did not arrive whole within ${seconds} s: send it again.` };
    }
    case 'HPE_HEADER_OVERFLOW':
      return {
        status: 431,
        message: 'The head of the request is over 16 KiB: send fewer or shorter headers.',
      };
    default:
      return { status: 400, message: 'This is no HTTP/1.1 request.' };
  }
}
