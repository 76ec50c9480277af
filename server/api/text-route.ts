import type { Request, RequestHandler, Response } from 'express';
import type { z } from 'zod';
import type { Turn } from '../engine/request-queue.ts';
import { asOneBitError, OneBitError } from '../protocol/error.ts';
import { EventStream } from './event-stream.ts';
import { errorBody, sendError } from './http-errors.ts';
import type { Leases } from './leases.ts';
import { explain } from './rpc-methods.ts';

/** One request of a client, with a body that has been checked. */
export interface Exchange<Body> {
  body: Body;
  request: Request;
  response: Response;
  /** Events of a streamed answer. */
  events: EventStream;
  /** Fires when the client has gone. */
  signal: AbortSignal;
}

/**
 * A route that works with the model. Its client keeps the server for as long as the answer takes; a client that
 * goes away stops the work. An error after the first event is an event with an `error` member, as OpenAI's clients
 * and llama.cpp's look for it.
 */
export function textRoute<Body>(
  leases: Leases,
  schema: z.ZodType<Body>,
  answer: (exchange: Exchange<Body>) => Promise<void>,
): RequestHandler {
  return async (request, response) => {
    const lease = leases.take();
    const gone = new AbortController();
    response.on('close', () => {
      gone.abort();
      lease.dispose();
    });
    const events = new EventStream(response);
    try {
      const checked = schema.safeParse(bodyOf(request));
      if (!checked.success) throw new OneBitError('bad-request', explain(checked.error));
      await answer({ body: checked.data, request, response, events, signal: gone.signal });
    } catch (caught) {
      if (gone.signal.aborted) return;
      if (!events.begun) return sendError(response, caught);
      events.send(errorBody(asOneBitError(caught), request.path));
      events.end();
    }
  };
}

/**
 * Whose turn a request is: `X-OneBit-Priority: editor` or `bulk` says it; the route knows the usual. Programs are
 * told apart by their `User-Agent`.
 * @throws bad-request (another word in the header)
 */
export function turnOf(request: Request, usual: Turn['priority']): Turn {
  const asked = request.get('x-onebit-priority') ?? usual;
  if (asked !== 'editor' && asked !== 'bulk') {
    throw new OneBitError('bad-request', 'X-OneBit-Priority is "editor" or "bulk".');
  }
  return { priority: asked, client: (request.get('user-agent') ?? '').slice(0, 200) };
}

function bodyOf(request: Request): unknown {
  const body: unknown = request.body;
  if (body === undefined && Number(request.get('content-length') ?? 0) > 0) {
    throw new OneBitError('bad-request', 'The body must be JSON: send "Content-Type: application/json".');
  }
  return body ?? {};
}
