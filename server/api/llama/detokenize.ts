import type { RequestHandler } from 'express';
import { z } from 'zod';
import { OneBitError } from '../../protocol/error.ts';
import { decodeWithSpecial } from '../../tokenizer/special-names.ts';
import { tokensField } from '../body-fields.ts';
import { withModel } from '../generate-text.ts';
import type { HttpServices } from '../http-routes.ts';
import { textRoute } from '../text-route.ts';

const bodySchema = z.object({ tokens: tokensField });

/** `POST /detokenize`: the text of tokens, special ones by their names. */
export function detokenize(services: HttpServices): RequestHandler {
  return textRoute(services.leases, bodySchema, async ({ body, response, signal }) => {
    const content = await withModel(
      services,
      async ({ tokenizer, model }) => {
        const { vocabSize } = model.config;
        const outside = body.tokens.find((id) => id >= vocabSize);
        if (outside !== undefined) {
          throw new OneBitError(
            'bad-request',
            `Token id ${outside} is outside the vocabulary (0 to ${vocabSize - 1}).`,
          );
        }
        return decodeWithSpecial(tokenizer, body.tokens);
      },
      signal,
    );
    response.json({ content });
  });
}
