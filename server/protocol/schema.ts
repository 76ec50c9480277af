import { z } from 'zod';

// zod would compile its schemas with `new Function`. Asking whether that is allowed makes VS Code's extension host
// log a stack trace, and a webview's content security policy a violation; messages this small gain nothing by it.
z.config({ jitless: true });

/**
 * A list whose length is checked before its elements are looked at: zod alone would note a problem for each of the
 * millions of elements that a hostile message can hold.
 */
export function shortList<T extends z.ZodType>(element: T, most: number) {
  return z
    .custom<unknown[]>(
      (value) => Array.isArray(value) && value.length <= most,
      `must be a list of at most ${most}`,
    )
    .pipe(z.array(element));
}

/** What schemas of messages are made of. */
export { z };
