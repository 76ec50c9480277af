import type { Snippet } from './context/similar-windows.ts';
import type { Cursor } from './cursor.ts';
import type { Request } from './generation.ts';

/**
 * What the server is asked. Where prefix and suffix are cut to the model's context, and with which tokens they are
 * put together, is the server's matter: it knows the tokenizer.
 */
export function requestFor(
  { before, after, language, path }: Cursor,
  extra: readonly Snippet[],
  { singleLine, maxTokens }: { singleLine: boolean; maxTokens: number },
): Request {
  return {
    prefix: before,
    // White space alone is nothing to lead up to: the prefix is continued.
    suffix: after.trim() === '' ? '' : after,
    language,
    path,
    extra: extra.map((snippet) => ({ ...snippet })),
    maxTokens,
    singleLine,
  };
}

/** The same, for a text that differs from the most likely one. @param seed another one for each alternative */
export function alternativeRequest(request: Request, seed: number): Request {
  return { ...request, temperature: 0.8, topK: 20, topP: 0.95, seed };
}
