import type { RequestHandler } from 'express';
import type { Health } from '../protocol/discovery.ts';
import type { Access } from './access.ts';

/**
 * `GET /health`: whether the server is up, and 503 while a model is being loaded. Without a token nothing but
 * `status`, for monitors that cannot send one. Does not wake the model.
 */
export function healthRoute(access: Access, health: () => Health): RequestHandler {
  return (request, response) => {
    const state = health();
    const known = access.token(request) === 'right';
    const loading =
      state.status === 'loading'
        ? { error: { code: 503, message: 'The model is loading.', type: 'unavailable_error' } }
        : {};
    if (state.status === 'loading') response.status(503).setHeader('Retry-After', '1');
    response.json({ ...(known ? state : { status: state.status }), ...loading });
  };
}
