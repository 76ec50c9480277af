/**
 * Lets text through until a stop string appears. What could be the beginning of a stop string is held
 * back until it is decided, so a client never sees part of one.
 */
export class StopText {
  readonly #stops: string[];
  readonly #singleLine: boolean;
  readonly #minIndent: number;
  #held = '';
  #seenText = false;
  #stoppedBy: string | undefined;

  /**
   * @param singleLine Stop at the first line end that follows some text other than white space.
   * @param minIndent Stop at the end of the line before one with text that is indented less, in spaces and tabs.
   */
  constructor(stops: readonly string[], singleLine: boolean, minIndent = 0) {
    this.#stops = stops.filter((stop) => stop !== '');
    this.#singleLine = singleLine;
    this.#minIndent = minIndent;
  }

  get stopped(): boolean {
    return this.#stoppedBy !== undefined;
  }

  /** The stop string that was found, or nothing (`''`) where a line's end or indentation ended the text. */
  get stoppedBy(): string | undefined {
    return this.#stoppedBy;
  }

  /** Adds text and returns what may be shown now. */
  push(text: string): string {
    if (this.stopped) return '';
    this.#held += text;
    let end = this.#held.length;
    let found: string | undefined;
    for (const stop of this.#stops) {
      const at = this.#held.indexOf(stop);
      if (at >= 0 && at <= end) {
        end = at;
        found = stop;
      }
    }
    const lines = this.#held.slice(0, end);
    for (const line of [this.#lineEnd(lines), this.#outdent(lines)]) {
      if (line === undefined || line > end) continue;
      end = line;
      found = '';
    }
    if (found !== undefined) {
      this.#stoppedBy = found;
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
    const rest = this.stopped ? '' : this.#held;
    this.#held = '';
    return rest;
  }

  #lineEnd(text: string): number | undefined {
    if (!this.#singleLine) return undefined;
    const firstText = this.#seenText ? 0 : text.search(/\S/);
    if (firstText < 0) return undefined;
    const at = text.slice(firstText).search(/\r?\n/);
    return at < 0 ? undefined : firstText + at;
  }

  /** Where the first line ends that one with less indentation follows. */
  #outdent(text: string): number | undefined {
    if (this.#minIndent === 0) return undefined;
    for (const match of text.matchAll(/\r?\n(?:[ \t]*\r?\n)*([ \t]*)(?=\S)/g)) {
      if ((match[1] ?? '').length < this.#minIndent) return match.index;
    }
    return undefined;
  }

  /** Length of the longest end of the held text that begins a stop string (or a line end, or a line's indentation). */
  #undecided(): number {
    let longest = this.#singleLine && this.#held.endsWith('\r') ? 1 : 0;
    if (this.#minIndent > 0) longest = /\r?(\n\s*)?$/.exec(this.#held)?.[0].length ?? 0;
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
