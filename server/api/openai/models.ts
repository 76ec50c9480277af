import type { RequestHandler } from 'express';
import { OneBitError } from '../../protocol/error.ts';
import type { ModelSummary } from '../../protocol/model.ts';
import { sendError } from '../http-errors.ts';
import type { KnownModels } from '../known-models.ts';

/** `GET /v1/models`: those that `model` may name. Does not wake the model. */
export function listModels(models: KnownModels): RequestHandler {
  return async (_request, response) => {
    response.json({ object: 'list', data: (await models.list()).map(described) });
  };
}

/** `GET /v1/models/ID`, the id as one path segment. */
export function retrieveModel(models: KnownModels): RequestHandler {
  return async (request, response) => {
    const id = String(request.params.id);
    const found = (await models.list()).find((model) => model.id === id);
    if (found === undefined) {
      sendError(response, new OneBitError('not-found', `There is no model "${id.slice(0, 200)}".`));
      return;
    }
    response.json(described(found));
  };
}

function described({ id, name, parameters, bytes }: ModelSummary): object {
  return {
    ...{ id, object: 'model', created: 0, owned_by: 'onebit', name },
    meta: { n_params: parameters, size: bytes },
  };
}
