import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import type { Health } from '../protocol/discovery.ts';
import { OneBitError } from '../protocol/error.ts';
import { unauthorized, type Access } from './access.ts';
import type { CompletionServices } from './complete.ts';
import { errorHandler, sendError } from './http-errors.ts';
import type { KnownModels } from './known-models.ts';
import type { Leases } from './leases.ts';
import { completions } from './openai-completions.ts';

/** Bytes of a request's body. */
const maxBody = '8mb';

export interface HttpServices extends CompletionServices {
  access: Access;
  models: KnownModels;
  leases: Leases;
  health(): Health;
}

/**
 * The HTTP routes. Every one asks for the token; only `/health` answers without one, with nothing but
 * whether the server is up, for monitors that cannot send it. A wrong token is refused there as well.
 */
export function httpRoutes({ access, host, metrics, models, leases, health }: HttpServices): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');

  app.use((request: Request, response: Response, next: NextFunction) => {
    response.setHeader('X-Content-Type-Options', 'nosniff');
    response.setHeader('Cache-Control', 'no-store');
    const token = access.token(request);
    const open = request.path === '/health' && token === 'none';
    const refusal = access.refuseOrigin(request) ?? (token === 'right' || open ? undefined : unauthorized);
    if (refusal === undefined) return next();
    sendError(response, new OneBitError(refusal.code, refusal.message), refusal.status);
  });
  app.use(express.json({ limit: maxBody }));

  app.get('/health', (request, response) => {
    const state = health();
    const known = access.token(request) === 'right';
    const loading =
      state.status === 'loading'
        ? { error: { code: 503, message: 'The model is loading.', type: 'unavailable_error' } }
        : {};
    if (state.status === 'loading') response.status(503).setHeader('Retry-After', '1');
    response.json({ ...(known ? state : { status: state.status }), ...loading });
  });

  app.get('/v1/models', async (_request, response) => {
    const data = (await models.list()).map(({ id, name }) => ({
      id,
      object: 'model',
      created: 0,
      owned_by: 'onebit',
      name,
    }));
    response.json({ object: 'list', data });
  });

  app.post('/v1/completions', async (request, response) => {
    // Whoever uses the server over HTTP keeps it for as long as it is used.
    const lease = leases.take();
    response.on('close', () => lease.dispose());
    await completions(request, response, { host, metrics }, models);
  });

  app.get('/metrics', async (_request, response) => {
    response.setHeader('Content-Type', metrics.contentType);
    response.send(await metrics.read());
  });

  app.use((request: Request, response: Response) => {
    const path = request.path.slice(0, 200);
    sendError(response, new OneBitError('not-found', `There is no ${request.method} ${path}.`));
  });
  app.use(errorHandler);
  return app;
}
