/** How much text around the cursor is read, in UTF-16 units. */
export interface WindowLimits {
  before: number;
  after: number;
}

/**
 * The limits for a context of so many tokens. A token of code is three to four characters, of indentation more:
 * this reads more than fits, and the server, which knows the tokens, cuts.
 */
export function windowLimits(contextLength: number): WindowLimits {
  const tokens = Math.max(256, Math.min(contextLength, 16_384));
  return { before: tokens * 6, after: tokens * 2 };
}

/**
 * The offset where the text before the cursor begins. It moves on in steps of a quarter of the limit, not with
 * every keystroke, so that the server finds the same beginning in its KV cache.
 */
export function windowStart(offset: number, limit: number): number {
  if (offset <= limit) return 0;
  const step = Math.max(1, Math.floor(limit / 4));
  return Math.ceil((offset - limit) / step) * step;
}

/** `text` from its first whole line on, when it was cut; a single long line stays. */
export function fromWholeLine(text: string, cut: boolean): string {
  if (!cut) return text;
  const lineEnd = text.indexOf('\n');
  return lineEnd < 0 || lineEnd === text.length - 1 ? text : text.slice(lineEnd + 1);
}
