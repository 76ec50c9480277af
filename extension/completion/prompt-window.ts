/** How much text around the cursor goes to the server, in UTF-16 units. */
export interface WindowLimits {
  prefix: number;
  suffix: number;
}

/**
 * The limits for a context of so many tokens. A token of code is three to four characters: this sends
 * a little more than fits, and the server cuts by tokens.
 */
export function windowLimits(contextLength: number): WindowLimits {
  const characters = Math.max(256, Math.min(contextLength, 16_384)) * 4;
  return { prefix: Math.floor(characters * 0.75), suffix: Math.floor(characters * 0.25) };
}

/**
 * The offset where the prefix begins. It moves on in steps of a quarter of the limit, not with every
 * keystroke, so that the server finds the same prefix in its KV cache.
 */
export function prefixStart(offset: number, limit: number): number {
  if (offset <= limit) return 0;
  const step = Math.max(1, Math.floor(limit / 4));
  return Math.ceil((offset - limit) / step) * step;
}

/** `prefix` from its first whole line on, when it was cut; a single long line stays. */
export function fromWholeLine(prefix: string, cut: boolean): string {
  if (!cut) return prefix;
  const lineEnd = prefix.indexOf('\n');
  return lineEnd < 0 || lineEnd === prefix.length - 1 ? prefix : prefix.slice(lineEnd + 1);
}
