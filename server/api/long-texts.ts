import { OneBitError, throwIfCancelled } from '../protocol/error.ts';

/** Characters of a text that is tokenized at once; the tokens of longer ones take memory while others are served. */
const shortText = 8192;
/** Long texts at a time: a million characters have up to four million tokens, of eight bytes each. */
const maxRunning = 4;
const maxWaiting = 64;

let running = 0;
const waiting: (() => void)[] = [];

/**
 * Tokenizes a text, and does what has to be done with its tokens while they take memory. Long texts wait for each other.
 * @param characters of the text
 * @throws busy (too many wait), cancelled (while it waits), what the work throws
 */
export async function withText<T>(
  characters: number,
  work: () => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  if (characters <= shortText) return work();
  if (running < maxRunning) running++;
  else await placeOfAnother(signal);
  try {
    return await work();
  } finally {
    const next = waiting.shift();
    if (next === undefined) running--;
    else next();
  }
}

/** Waits until another long text gives its place up. */
async function placeOfAnother(signal: AbortSignal): Promise<void> {
  throwIfCancelled(signal);
  if (waiting.length >= maxWaiting) {
    throw new OneBitError(
      'busy',
      `${maxWaiting} long texts are waiting already, the most possible: try again later.`,
    );
  }
  await new Promise<void>((resolve, reject) => {
    const take = (): void => {
      signal.removeEventListener('abort', leave);
      resolve();
    };
    const leave = (): void => {
      waiting.splice(waiting.indexOf(take), 1);
      reject(new OneBitError('cancelled', 'Cancelled.'));
    };
    waiting.push(take);
    signal.addEventListener('abort', leave, { once: true });
  });
}
