/**
 * Lets text through until a stop string appears. What could be the beginning of a stop string is held
 * back until it is decided, so a client never sees part of one.
 */
export class StopText {
  readonly #stops: string[];
  readonly #singleLine: boolean;
  #held = '';
  #seenText = false;
  #stopped = false;

  /** @param singleLine Stop at the first line end that follows some text other than white space. */
  constructor(stops: readonly string[], singleLine: boolean) {
    this.#stops = stops.filter((stop) => stop !== '');
    this.#singleLine = singleLine;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Adds text and returns what may be shown now. */
  push(text: string): string {
    if (this.#stopped) return '';
    this.#held += text;
    let end = this.#held.length;
    let found = false;
    for (const stop of this.#stops) {
      const at = this.#held.indexOf(stop);
      if (at >= 0 && at <= end) {
        end = at;
        found = true;
      }
    }
    if (this.#singleLine) {
      const line = this.#lineEnd(this.#held.slice(0, end));
      if (line !== undefined) {
        end = line;
        found = true;
      }
    }
    if (found) {
      this.#stopped = true;
      const shown = this.#held.slice(0, end);
      this.#held = '';
      return shown;
    }
    const keep = this.#undecided();
    const shown = this.#held.slice(0, this.#held.length - keep);
    this.#held = this.#held.slice(this.#held.length - keep);
    if (/\S/.test(shown)) this.#seenText = true;
    return shown;
  }

  /** What was held back, at the end of generation. */
  end(): string {
    const rest = this.#stopped ? '' : this.#held;
    this.#held = '';
    return rest;
  }

  #lineEnd(text: string): number | undefined {
    const firstText = this.#seenText ? 0 : text.search(/\S/);
    if (firstText < 0) return undefined;
    const at = text.slice(firstText).search(/\r?\n/);
    return at < 0 ? undefined : firstText + at;
  }

  /** Length of the longest end of the held text that begins a stop string (or a CRLF line end). */
  #undecided(): number {
    let longest = this.#singleLine && this.#held.endsWith('\r') ? 1 : 0;
    for (const stop of this.#stops) {
      for (let n = Math.min(stop.length - 1, this.#held.length); n > longest; n--) {
        if (stop.startsWith(this.#held.slice(-n))) {
          longest = n;
          break;
        }
      }
    }
    return longest;
  }
}
