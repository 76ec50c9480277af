import type { RequestHandler } from 'express';
import { z } from 'zod';
import { encodeWithSpecial } from '../../tokenizer/special-names.ts';
import { textField } from '../body-fields.ts';
import { withModel } from '../generate-text.ts';
import type { HttpServices } from '../http-routes.ts';
import { textRoute } from '../text-route.ts';

const bodySchema = z.object({
  content: textField.default(''),
  add_special: z.boolean().default(false),
  parse_special: z.boolean().default(true),
  with_pieces: z.boolean().default(false),
});

/** `POST /tokenize`: a text's tokens, with BOS (`add_special`) and as texts or bytes (`with_pieces`) where asked for. */
export function tokenize(services: HttpServices): RequestHandler {
  return textRoute(services.leases, bodySchema, async ({ body, response, signal }) => {
    const tokens = await withModel(
      services,
      async ({ tokenizer }) => {
        const { bosId } = tokenizer;
        const ids = body.parse_special
          ? encodeWithSpecial(tokenizer, body.content)
          : tokenizer.encode(body.content);
        if (body.add_special && bosId !== undefined) ids.unshift(bosId);
        return body.with_pieces ? ids.map((id) => ({ id, piece: piece(tokenizer.tokenBytes(id)) })) : ids;
      },
      signal,
    );
    response.json({ tokens });
  });
}

/** A token's text, or its bytes where they are no whole characters. */
function piece(bytes: Uint8Array): string | number[] {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return [...bytes];
  }
}
