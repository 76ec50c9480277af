import type { RequestHandler } from 'express';
import { z } from 'zod';
import { OneBitError } from '../../protocol/error.ts';
import { isText, isTextAndTokens, maxTexts, promptError } from '../body-fields.ts';
import { withModel, type TextInput } from '../generate-text.ts';
import type { HttpServices } from '../http-routes.ts';
import { textRoute, turnOf } from '../text-route.ts';
import { answerTexts } from './answer-texts.ts';
import { generationFields, generationOf } from './generation.ts';

type One = string | { prompt_string: string } | (string | number)[];

const bodySchema = z.object({
  ...generationFields,
  prompt: z.custom<One | One[]>(
    isPrompt,
    promptError('text, {"prompt_string": text}, a list of tokens and text'),
  ),
});

/** `POST /completion`: llama.cpp's own completions of one prompt or several, whole or as server-sent events. */
export function completion(services: HttpServices): RequestHandler {
  return textRoute(services.leases, bodySchema, async (exchange) => {
    const { body, request, signal } = exchange;
    const generation = generationOf(body);
    const inputs = inputsOf(body.prompt);
    if (inputs.length * generation.count > maxTexts) {
      throw new OneBitError(
        'bad-request',
        `prompt: ${inputs.length * generation.count} texts are asked for; ${maxTexts} at a time are possible.`,
      );
    }
    const turn = turnOf(request, 'bulk');
    await withModel(
      services,
      (ready) => answerTexts(ready, inputs, generation, turn, services.metrics, exchange),
      signal,
    );
  });
}

/** A list with a number in it is one prompt, of tokens and maybe text; otherwise each element is one. */
function inputsOf(prompt: One | One[]): TextInput[] {
  const list = isOne(prompt) ? [prompt] : prompt;
  return list.map((each) => {
    if (Array.isArray(each)) return { parts: each };
    return { parts: [typeof each === 'string' ? each : each.prompt_string] };
  });
}

function isPrompt(value: unknown): value is One | One[] {
  if (isOne(value)) return true;
  return Array.isArray(value) && value.length > 0 && value.length <= maxTexts && value.every(isOne);
}

function isOne(value: unknown): value is One {
  if (Array.isArray(value)) return value.some((part) => typeof part === 'number') && isTextAndTokens(value);
  if (typeof value === 'object' && value !== null)
    return 'prompt_string' in value && isText(value.prompt_string);
  return isText(value);
}
