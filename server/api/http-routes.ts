import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import type { Health } from '../protocol/discovery.ts';
import { OneBitError } from '../protocol/error.ts';
import { unauthorized, type Access } from './access.ts';
import { unreadMs } from './event-stream.ts';
import type { TextServices } from './generate-text.ts';
import { healthRoute } from './health.ts';
import { errorHandler, maxBody, sendError } from './http-errors.ts';
import type { KnownModels } from './known-models.ts';
import type { Leases } from './leases.ts';
import { applyTemplate } from './llama/apply-template.ts';
import { completion } from './llama/completion.ts';
import { detokenize } from './llama/detokenize.ts';
import { infill } from './llama/infill.ts';
import { props } from './llama/props.ts';
import { tokenize } from './llama/tokenize.ts';
import { chatCompletions } from './openai/chat-completions.ts';
import { completions } from './openai/completions.ts';
import { listModels, retrieveModel } from './openai/models.ts';

/** Requests at a time; a further one is refused before its body is read. */
const maxRequests = 160;

export interface HttpServices extends TextServices {
  access: Access;
  models: KnownModels;
  leases: Leases;
  health(): Health;
}

/**
 * The HTTP routes. Every one asks for the token; only `/health` answers without one, with nothing but
 * whether the server is up, for monitors that cannot send it. A wrong token is refused there as well.
 */
export function httpRoutes(services: HttpServices): Express {
  const { access, metrics, models, health } = services;
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');

  const healthPaths = ['/health', '/v1/health'];
  app.use((request: Request, response: Response, next: NextFunction) => {
    response.setHeader('X-Content-Type-Options', 'nosniff');
    response.setHeader('Cache-Control', 'no-store');
    const token = access.token(request);
    const open = healthPaths.includes(request.path) && token === 'none';
    const refusal = access.refuseOrigin(request) ?? (token === 'right' || open ? undefined : unauthorized);
    if (refusal === undefined) return next();
    sendError(response, new OneBitError(refusal.code, refusal.message), refusal.status);
  });
  app.use((_request: Request, response: Response, next: NextFunction) => {
    // The answer is complete; until it has been read it takes memory.
    response.on('prefinish', () => response.setTimeout(unreadMs));
    next();
  });
  let requests = 0;
  app.use((request: Request, response: Response, next: NextFunction) => {
    if (request.method !== 'POST') return next();
    if (requests >= maxRequests) {
      return sendError(
        response,
        new OneBitError(
          'busy',
          `${maxRequests} requests are being served, which is the most at a time: try again later.`,
        ),
      );
    }
    requests++;
    response.on('close', () => requests--);
    next();
  });
  app.use(express.json({ limit: maxBody }));

  app.get(healthPaths, healthRoute(access, health));
  app.get('/metrics', async (_request, response) => {
    response.setHeader('Content-Type', metrics.contentType);
    response.send(await metrics.read());
  });

  app.get(['/v1/models', '/models'], listModels(models));
  app.get('/v1/models/:id', retrieveModel(models));
  app.post('/v1/completions', completions(services));
  app.post(['/v1/chat/completions', '/chat/completions'], chatCompletions(services));

  app.post(['/completion', '/completions'], completion(services));
  app.post('/infill', infill(services));
  app.post('/tokenize', tokenize(services));
  app.post('/detokenize', detokenize(services));
  app.post('/apply-template', applyTemplate(services));
  app.get('/props', props(services));

  app.use((request: Request, response: Response) => {
    const path = request.path.slice(0, 200);
    sendError(response, new OneBitError('not-found', `There is no ${request.method} ${path}.`));
  });
  app.use(errorHandler);
  return app;
}
