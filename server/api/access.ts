import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { ErrorCode } from '../protocol/error.ts';

/** Why a request is turned away. */
export interface Refusal {
  status: 401 | 403;
  code: ErrorCode;
  message: string;
}

const loopbackNames = new Set(['127.0.0.1', 'localhost', '[::1]']);

/** A new token: 256 random bits as base64url. */
export function newToken(): string {
  return randomBytes(32).toString('base64url');
}

/** Decides who may speak to the server: on this machine, from no foreign web page, with the token. */
export class Access {
  private readonly digest: Buffer;

  constructor(token: string) {
    this.digest = digestOf(token);
  }

  /** Why the request is refused whatever its token: a web page of another origin, or a rebound host name. */
  refuseOrigin(request: IncomingMessage): Refusal | undefined {
    const { host, origin } = request.headers;
    if (host === undefined || !loopbackNames.has(hostName(host))) {
      return forbidden(`Host "${shown(host)}" is not this machine's loopback name: use 127.0.0.1.`);
    }
    if (origin !== undefined && !isOwnOrigin(origin)) {
      return forbidden(`Pages of origin "${shown(origin)}" may not use this server.`);
    }
    return undefined;
  }

  /** What the request brings to be let in: nothing, the right token, or a wrong one. */
  token(request: IncomingMessage): 'none' | 'right' | 'wrong' {
    const { authorization } = request.headers;
    const bearer = authorization === undefined ? undefined : /^bearer +(\S+)$/i.exec(authorization.trim());
    if (authorization !== undefined) return this.matches(bearer?.[1] ?? '') ? 'right' : 'wrong';
    return 'none';
  }

  /** The same for a WebSocket upgrade, where a browser cannot set headers: `?token=` will do. */
  upgradeToken(request: IncomingMessage): 'none' | 'right' | 'wrong' {
    const header = this.token(request);
    if (header !== 'none') return header;
    const query = addressOf(request)?.searchParams.get('token');
    if (query === null || query === undefined) return 'none';
    return this.matches(query) ? 'right' : 'wrong';
  }

  /** Compares in constant time: digests have the same length whatever was sent. */
  private matches(candidate: string): boolean {
    return timingSafeEqual(digestOf(candidate), this.digest);
  }
}

export const unauthorized: Refusal = {
  status: 401,
  code: 'unauthorized',
  message: 'Wrong or missing token: send "Authorization: Bearer TOKEN" with the token of server.json.',
};

/** What a request asks for; undefined where that is no address (`//`), which Node lets through. */
export function addressOf({ url = '/' }: IncomingMessage): URL | undefined {
  try {
    return new URL(url, 'http://localhost');
  } catch {
    return undefined;
  }
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

function forbidden(message: string): Refusal {
  return { status: 403, code: 'unauthorized', message };
}

function hostName(host: string): string {
  return host.toLowerCase().replace(/:\d+$/, '');
}

/** A webview's origin, or a page that this machine serves (code-server). */
function isOwnOrigin(origin: string): boolean {
  if (origin.startsWith('vscode-webview://')) return true;
  try {
    const { protocol, host } = new URL(origin);
    return (protocol === 'http:' || protocol === 'https:') && loopbackNames.has(hostName(host));
  } catch {
    return false;
  }
}

function shown(header: string | undefined): string {
  return (header ?? '').slice(0, 100);
}
