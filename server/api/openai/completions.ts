import { randomUUID } from 'node:crypto';
import type { RequestHandler } from 'express';
import { z } from 'zod';
import type { ChosenLogprob } from '../../engine/token-logprobs.ts';
import { OneBitError } from '../../protocol/error.ts';
import { decodeWithSpecial } from '../../tokenizer/special-names.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { isText, isTokens, maxTexts, promptError, textField } from '../body-fields.ts';
import {
  generateText,
  withModel,
  type GeneratedText,
  type TextInput,
  type TextPiece,
} from '../generate-text.ts';
import type { HttpServices } from '../http-routes.ts';
import { textRoute, turnOf } from '../text-route.ts';
import {
  chooseModel,
  finishReason,
  generationFields,
  generationRequest,
  maxTokensOf,
  seedOf,
  usage,
} from './generation.ts';

type Prompt = string | string[] | number[] | number[][];

const bodySchema = z.object({
  ...generationFields,
  prompt: z.custom<Prompt>(isPrompt, promptError('text, a list of tokens')),
  suffix: textField.nullish(),
  best_of: z.int().nullish(),
  echo: z.boolean().nullish(),
  logprobs: z.int().min(0).max(20).nullish(),
});
type Body = z.output<typeof bodySchema>;

/** `POST /v1/completions`: OpenAI's legacy completions, as one answer or as server-sent events. */
export function completions(services: HttpServices): RequestHandler {
  const { host, metrics, models, leases } = services;
  return textRoute(leases, bodySchema, async ({ body, request, response, events, signal }) => {
    const inputs = inputsOf(body);
    const n = body.n ?? 1;
    check(body, inputs.length * n);
    const turn = turnOf(request, body.suffix ? 'editor' : 'bulk');
    await chooseModel(body.model, host, models, signal);
    const answer = {
      id: `cmpl-${randomUUID()}`,
      object: 'text_completion',
      created: Math.floor(Date.now() / 1000),
    };
    const seed = seedOf(body);
    const noUsage = body.stream_options?.include_usage ? { usage: null } : {};
    await withModel(
      services,
      async (ready) => {
        const head = { ...answer, model: ready.summary.id };
        const send = (choice: object): void => events.send({ ...head, choices: [choice], ...noUsage });
        const choices: object[] = [];
        const texts: GeneratedText[] = [];
        // One after another: the texts of a prompt share its KV cache.
        for (let index = 0; index < inputs.length * n; index++) {
          const input = inputs[Math.floor(index / n)] as TextInput;
          const shown = echoed(body, input, ready.tokenizer);
          const scores = new TextLogprobs(ready.tokenizer, shown.length);
          const choice = (piece: TextPiece, finish: string | null): object => ({
            index,
            text: piece.text,
            logprobs:
              body.logprobs === undefined || body.logprobs === null ? null : scores.of(piece.logprobs),
            finish_reason: finish,
          });
          if (body.stream && shown !== '') send(choice({ text: shown, ids: [], logprobs: [] }, null));
          const text = await generateText(
            ready,
            {
              ...generationRequest(body, seed, index % n),
              input,
              maxTokens: maxTokensOf(body.max_tokens ?? 16),
              logprobs: body.logprobs ?? undefined,
              turn,
            },
            metrics,
            (piece) => {
              if (body.stream) send(choice(piece, null));
            },
            signal,
          );
          if (signal.aborted) return;
          texts.push(text);
          if (body.stream) send(choice({ text: '', ids: [], logprobs: [] }, finishReason(text)));
          else choices.push(choice({ ...text, text: shown + text.text }, finishReason(text)));
        }
        if (!body.stream) {
          response.json({ ...head, choices, usage: usage(texts, n) });
          return;
        }
        if (body.stream_options?.include_usage) events.send({ ...head, choices: [], usage: usage(texts, n) });
        events.end('[DONE]');
      },
      signal,
    );
  });
}

/** @throws bad-request for combinations that are not possible */
function check({ best_of: bestOf, n, echo, logprobs, suffix }: Body, count: number): void {
  const refuse = (message: string): never => {
    throw new OneBitError('bad-request', message);
  };
  if (count > maxTexts) refuse(`n: ${count} texts are asked for; ${maxTexts} at a time are possible.`);
  if (bestOf !== null && bestOf !== undefined && bestOf !== (n ?? 1)) {
    refuse('best_of: not supported by this server: leave it out, or give the same as n.');
  }
  if (echo && logprobs !== null && logprobs !== undefined) {
    refuse('echo: not possible together with logprobs, which are those of the new tokens only.');
  }
  if (echo && suffix) refuse('echo: not possible together with suffix.');
}

function inputsOf({ prompt, suffix }: Body): TextInput[] {
  const list = typeof prompt === 'string' || isTokens(prompt) ? [prompt] : prompt;
  return list.map((each) => {
    if (!suffix) return { parts: typeof each === 'string' ? [each] : each };
    if (typeof each !== 'string') {
      throw new OneBitError('bad-request', 'suffix: the prompt must be text as well, not tokens.');
    }
    return { gap: { prefix: each, suffix, extra: [] }, mustInfill: true };
  });
}

function isPrompt(value: unknown): value is Prompt {
  if (!Array.isArray(value)) return isText(value);
  if (value.length === 0) return false;
  if (typeof value[0] === 'number') return isTokens(value);
  return value.length <= maxTexts && (value.every(isText) || value.every(isTokens));
}

/** What of the prompt is given back before the text. */
function echoed({ echo }: Body, input: TextInput, tokenizer: Tokenizer): string {
  if (!echo || !('parts' in input)) return '';
  const [first] = input.parts;
  return typeof first === 'string' ? first : decodeWithSpecial(tokenizer, input.parts as number[]);
}

/** Log-probabilities in the form of the completions API; offsets count on from piece to piece. */
class TextLogprobs {
  constructor(
    private readonly tokenizer: Tokenizer,
    private offset: number,
  ) {}

  of(chosen: readonly ChosenLogprob[]): object {
    const named = chosen.map(({ id, logprob, top }) => ({
      text: this.tokenizer.tokenText(id),
      logprob,
      top,
    }));
    return {
      tokens: named.map(({ text }) => text),
      token_logprobs: named.map(({ logprob }) => logprob),
      top_logprobs: named.map(({ top }) =>
        Object.fromEntries(top.map(({ id, logprob }) => [this.tokenizer.tokenText(id), logprob])),
      ),
      text_offset: named.map(({ text }) => {
        const offset = this.offset;
        this.offset += text.length;
        return offset;
      }),
    };
  }
}
