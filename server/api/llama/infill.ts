import type { RequestHandler } from 'express';
import { OneBitError } from '../../protocol/error.ts';
import { shortList, z } from '../../protocol/schema.ts';
import { textField } from '../body-fields.ts';
import { withModel, type ReadyModel, type TextInput } from '../generate-text.ts';
import { StatusError } from '../http-errors.ts';
import type { HttpServices } from '../http-routes.ts';
import { textRoute, turnOf } from '../text-route.ts';
import { answerTexts } from './answer-texts.ts';
import { finalAnswer, generationFields, generationOf } from './generation.ts';

const bodySchema = z.object({
  ...generationFields,
  input_prefix: textField.default(''),
  input_suffix: textField.default(''),
  /** The line before the cursor: after the middle token. */
  prompt: textField.nullish(),
  input_extra: shortList(
    z.object({ text: z.string().max(200_000), filename: z.string().max(4096).nullish() }),
    256,
  ).nullish(),
});

/**
 * `POST /infill`: text for the gap between prefix and suffix, as llama.vscode asks for it. What does not fit the
 * context is left out, far from the gap. A model that does not fill in the middle continues the prefix; the header
 * `X-OneBit-Infill` says `suffix` or `prefix`. With `Prefer: handling=strict` it answers 501 instead.
 */
export function infill(services: HttpServices): RequestHandler {
  return textRoute(services.leases, bodySchema, async (exchange) => {
    const { body, request, response, signal } = exchange;
    const generation = generationOf(body);
    const gap = {
      extra: (body.input_extra ?? []).map(({ filename, text }) => ({ path: filename ?? '', text })),
      prefix: body.input_prefix,
      suffix: body.input_suffix,
      begun: body.prompt ?? '',
    };
    const input: TextInput = { gap, mustInfill: false };
    const turn = turnOf(request, 'editor');
    const strict = /\bhandling=strict\b/i.test(request.get('prefer') ?? '');
    await withModel(
      services,
      async (ready) => {
        const infills = ready.tokenizer.infill !== undefined;
        if (strict && !infills) throw new StatusError(501, cannotInfill(ready));
        response.setHeader('X-OneBit-Infill', infills ? 'suffix' : 'prefix');
        const nothing = gap.prefix + gap.begun === '' && gap.extra.length === 0;
        if (
          nothing &&
          !infills &&
          ready.tokenizer.bosId === undefined &&
          ready.tokenizer.eosIds.length === 0
        ) {
          // llama.vscode warms a server up with an empty gap. The model is in memory now; there is no token to run.
          const answer = finalAnswer(generation, ready, 0, noText);
          if (body.stream !== true) return void response.json(answer);
          exchange.events.send(answer);
          return exchange.events.end();
        }
        await answerTexts(ready, [input], generation, turn, services.metrics, exchange);
      },
      signal,
    );
  });
}

function cannotInfill({ summary }: ReadyModel): OneBitError {
  return new OneBitError(
    'unsupported',
    `${summary.id} does not fill in the middle: load a model that has the tokens for it, or ask without "Prefer: handling=strict" to continue the prefix.`,
  );
}

const noText = {
  ...{ text: '', ids: [], logprobs: [], prompt: [], infilled: false, finishReason: 'length' as const },
  timings: { promptTokens: 0, cachedTokens: 0, completionTokens: 0, queueMs: 0, prefillMs: 0, decodeMs: 0 },
};
