import type { ErrorRequestHandler, Response } from 'express';
import { asOneBitError, OneBitError, type ErrorCode } from '../protocol/error.ts';

/** Bytes of a request's body. */
export const maxBody = 8 * 2 ** 20;
/** Seconds after which a client may try again when the queue is full. */
const retryAfterSeconds = 1;

const statuses: Partial<Record<ErrorCode, number>> = {
  'bad-request': 400,
  'bad-value': 400,
  unsupported: 400,
  'no-tokenizer': 400,
  unauthorized: 401,
  'not-allowed': 403,
  'not-found': 404,
  'no-model': 404,
  busy: 503,
  cancelled: 499,
};

/** Types of errors by their status, as OpenAI's API and llama.cpp's server name them. */
const types: Partial<Record<number, string>> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  500: 'server_error',
  501: 'not_supported_error',
  503: 'unavailable_error',
};

/**
 * An error as the route's clients know it: OpenAI's `{"error": {message, type, param, code}}` with our code in words,
 * or llama.cpp's, where `code` is the status.
 */
export function errorBody(error: OneBitError, path: string, status = statusOf(error)): object {
  const { message } = error;
  const openai = path.startsWith('/v1/');
  const type = openai && status === 404 ? undefined : types[status];
  const named = { message, type: type ?? (status < 500 ? 'invalid_request_error' : 'server_error') };
  return { error: openai ? { ...named, param: null, code: error.code } : { ...named, code: status } };
}

/** An error with a status of its own. */
export class StatusError extends OneBitError {
  constructor(
    readonly status: number,
    error: OneBitError,
  ) {
    super(error.code, error.message, { cause: error });
  }
}

export function statusOf(error: OneBitError): number {
  return error instanceof StatusError ? error.status : (statuses[error.code] ?? 500);
}

/** Answers with an error, unless the answer has begun or the client has gone. */
export function sendError(response: Response, caught: unknown, status?: number): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const error = asOneBitError(caught);
  const answered = status ?? statusOf(error);
  if (answered === 503) response.setHeader('Retry-After', String(retryAfterSeconds));
  if (answered === 401) response.setHeader('WWW-Authenticate', 'Bearer');
  response.status(answered).json(errorBody(error, response.req.path, answered));
}

/** Errors of express itself (a body that is too large or no JSON) and of routes. */
export const errorHandler: ErrorRequestHandler = (caught: unknown, _request, response, _next) => {
  const status = bodyStatus(caught);
  if (status === undefined) return sendError(response, caught);
  const text = status === 413 ? bodyTooLarge(caught) : `The body cannot be read: ${messageOf(caught)}`;
  sendError(response, new OneBitError('bad-request', text), status);
};

function messageOf(caught: unknown): string {
  return caught instanceof Error ? caught.message : String(caught);
}

/** The limit, and what was sent where the client had said it: of a chunked body nobody knows. */
function bodyTooLarge(caught: unknown): string {
  const sent = caught instanceof Error && 'length' in caught ? caught.length : undefined;
  const size = typeof sent === 'number' ? `has ${sent} bytes` : 'is too large';
  return `The body ${size}, and at most ${maxBody} (${maxBody / 2 ** 20} MiB) are possible: send shorter texts, or fewer at a time.`;
}

/** The status that express's body parser chose, if the error is one of its own. */
function bodyStatus(caught: unknown): number | undefined {
  const status = caught instanceof Error && 'status' in caught ? caught.status : undefined;
  return typeof status === 'number' && status >= 400 && status < 500 ? status : undefined;
}
