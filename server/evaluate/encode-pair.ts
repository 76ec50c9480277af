import { OneBitError } from '../protocol/error.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';

export interface EncodedPair {
  context: number[];
  continuation: number[];
}

/**
 * Tokens of a context and of the continuation that is scored after it, as lm-evaluation-harness cuts them:
 * white space at the context's end goes to the continuation, both are encoded as one text, and the
 * continuation's tokens are those beyond as many as the context has alone. BOS comes first where the model
 * has one. An empty context becomes the BOS or end token.
 * @throws bad-request if nothing of the continuation is left, or there is no token to begin with
 */
export function encodePair(
  tokenizer: Tokenizer,
  context: string,
  continuation: string,
  place: string,
): EncodedPair {
  const kept = context.trimEnd();
  const rest = context.slice(kept.length) + continuation;
  const pair = kept === '' ? afterNothing(tokenizer, rest, place) : together(tokenizer, kept, rest);
  if (pair.continuation.length === 0) {
    throw new OneBitError(
      'bad-request',
      `${place}: ${JSON.stringify(rest.slice(0, 80))} adds no token to its context: there is nothing to score.`,
    );
  }
  return pair;
}

function together(tokenizer: Tokenizer, kept: string, rest: string): EncodedPair {
  const context = tokenizer.encode(kept, { bos: true });
  const whole = tokenizer.encode(kept + rest, { bos: true });
  return { context, continuation: whole.slice(context.length) };
}

function afterNothing(tokenizer: Tokenizer, text: string, place: string): EncodedPair {
  const first = tokenizer.bosId ?? tokenizer.eosIds[0];
  if (first === undefined) {
    throw new OneBitError(
      'bad-request',
      `${place}: the context is empty, and the tokenizer has no BOS or end token to begin with.`,
    );
  }
  return { context: [first], continuation: tokenizer.encode(text) };
}
