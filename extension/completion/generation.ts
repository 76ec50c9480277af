import type { CompletionParams, CompletionResult } from '../../server/protocol/completion.ts';
import type { Cursor } from './cursor.ts';
import { restOfText } from './recent-results.ts';
import { isComplete, trimCompletion } from './trim/trim-completion.ts';
import { typedSince } from './typed-since.ts';

export type Request = Omit<CompletionParams, 'id'>;

/** Runs a request on the server; resolves once the server works on it no more, also after an abort. */
export type Generate = (
  request: Request,
  onText: (text: string) => void,
  signal: AbortSignal,
) => Promise<CompletionResult>;

export interface GenerationOptions {
  cursor: Cursor;
  request: Request;
  generate: Generate;
  /** Milliseconds after which what is there is shown, from the first whole line on. */
  timeBudgetMs: number;
}

/** A whole first line with something on it. */
const wholeLine = /\S[^\n]*\n/;

/**
 * One text that is being made. It ends early by itself, when whatever may follow would be taken off again, or when the
 * time is over and a line is whole. It does not end because the user types on, as long as that is what it says.
 */
export class Generation {
  readonly cursor: Cursor;
  /** Settles when the server works on it no more; never rejects. */
  readonly ended: Promise<void>;
  /** What to insert at `cursor`; undefined for nothing, or where it was aborted. Rejects with the server's error. */
  readonly result: Promise<string | undefined>;
  private readonly controller = new AbortController();
  private readonly singleLine: boolean;
  private text = '';
  private settled = false;
  private stopped: 'complete' | 'time' | 'aborted' | undefined;

  constructor({ cursor, request, generate, timeBudgetMs }: GenerationOptions) {
    this.cursor = cursor;
    this.singleLine = request.singleLine ?? false;
    const deadline = performance.now() + timeBudgetMs;
    const onText = (piece: string): void => {
      if (this.stopped !== undefined) return;
      this.text += piece;
      if (isComplete(this.text, cursor, this.singleLine)) this.stop('complete');
      else if (performance.now() >= deadline && wholeLine.test(this.text)) this.stop('time');
    };
    this.result = generate(request, onText, this.controller.signal).then(
      (answer) => this.inserted(answer),
      (error: unknown) => {
        this.settled = true;
        if (this.stopped === undefined) throw error;
        return this.inserted(undefined);
      },
    );
    this.ended = this.result.then(
      () => undefined,
      () => undefined,
    );
  }

  get aborted(): boolean {
    return this.stopped === 'aborted';
  }

  /** Whether what has been typed since is the beginning of the text so far. Before there is any, only the place itself fits. */
  fits(cursor: Cursor): boolean {
    const typed = this.aborted ? undefined : typedSince(this.cursor, cursor);
    return typed !== undefined && this.text.startsWith(typed);
  }

  /** What to insert at a later cursor; undefined where the text fits no more, or nothing is left. */
  async resultAt(cursor: Cursor): Promise<string | undefined> {
    const text = await this.result;
    const typed = typedSince(this.cursor, cursor);
    return text === undefined || typed === undefined ? undefined : restOfText(text, typed, cursor);
  }

  /** Ends it; without effect once it has ended. */
  abort(): void {
    if (!this.settled && this.stopped !== 'aborted') this.stop('aborted');
  }

  private stop(why: 'complete' | 'time' | 'aborted'): void {
    this.stopped = why;
    this.controller.abort();
  }

  private inserted(answer: CompletionResult | undefined): string | undefined {
    this.settled = true;
    if (this.aborted) return undefined;
    // The answer has the text in full; what was stopped here has just what was seen.
    const text = this.stopped === undefined ? (answer?.text ?? '') : this.text;
    const cutOff =
      this.stopped === 'time' || answer?.finishReason === 'length' || answer?.finishReason === 'time';
    return trimCompletion(text, this.cursor, { singleLine: this.singleLine, cutOff });
  }
}
