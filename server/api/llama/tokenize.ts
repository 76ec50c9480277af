import { once } from 'node:events';
import type { RequestHandler, Response } from 'express';
import { z } from 'zod';
import { inSlices } from '../../tokenizer/in-slices.ts';
import { encodingWithSpecial } from '../../tokenizer/special-names.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { textField } from '../body-fields.ts';
import { withModel } from '../generate-text.ts';
import type { HttpServices } from '../http-routes.ts';
import { withText } from '../long-texts.ts';
import { textRoute } from '../text-route.ts';

const bodySchema = z.object({
  content: textField.default(''),
  add_special: z.boolean().default(false),
  parse_special: z.boolean().default(true),
  with_pieces: z.boolean().default(false),
});

/** Milliseconds that the rest of an answer waits for a client that reads nothing: others' texts wait for it. */
const drainMs = 5000;
/** Tokens that are written in one go. */
const tokensAtOnce = 4096;

/** `POST /tokenize`: a text's tokens, with BOS (`add_special`) and as texts or bytes (`with_pieces`) where asked for. */
export function tokenize(services: HttpServices): RequestHandler {
  return textRoute(services.leases, bodySchema, async ({ body, response, signal }) => {
    const { content, add_special: begins, parse_special: parses, with_pieces: pieces } = body;
    await withModel(
      services,
      ({ tokenizer }) =>
        withText(
          content.length,
          async () => {
            const { bosId } = tokenizer;
            const steps = parses ? encodingWithSpecial(tokenizer, content) : tokenizer.encoding(content);
            const ids = await inSlices(steps, signal);
            if (begins && bosId !== undefined) ids.unshift(bosId);
            await sendTokens(response, ids, pieces ? pieceWriter(tokenizer) : String, signal);
          },
          signal,
        ),
      signal,
    );
  });
}

/** Writes the answer in parts, as fast as the client reads: there can be millions of tokens. */
async function sendTokens(
  response: Response,
  ids: readonly number[],
  written: (id: number) => string,
  signal: AbortSignal,
): Promise<void> {
  response.setHeader('Content-Type', 'application/json; charset=utf-8');
  for (let at = 0; at < ids.length; at += tokensAtOnce) {
    const part = ids
      .slice(at, at + tokensAtOnce)
      .map(written)
      .join(',');
    if (response.write(`${at === 0 ? '{"tokens":[' : ','}${part}`)) continue;
    response.setTimeout(drainMs);
    await once(response, 'drain', { signal });
    response.setTimeout(0);
  }
  response.end(ids.length === 0 ? '{"tokens":[]}' : ']}');
}

/** A token as JSON: its id with its text, or with its bytes where they are no whole characters. */
function pieceWriter(tokenizer: Tokenizer): (id: number) => string {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const known = new Map<number, string>();
  const written = (id: number): string => {
    const bytes = tokenizer.tokenBytes(id);
    let piece: string | number[];
    try {
      piece = decoder.decode(bytes);
    } catch {
      piece = [...bytes];
    }
    return JSON.stringify({ id, piece });
  };
  return (id) => {
    let json = known.get(id);
    if (json === undefined) known.set(id, (json = written(id)));
    return json;
  };
}
