import { asOneBitError } from '../../server/protocol/error.ts';
import type { CompletionResult } from '../../server/protocol/completion.ts';
import type { Snippet } from './context/similar-windows.ts';
import { advanced, lineAfter, lineBefore, type Cursor } from './cursor.ts';
import { Debounce } from './debounce.ts';
import { Generation, type Generate, type Request } from './generation.ts';
import { asksOneLine } from './line-choice.ts';
import { pause } from './pause.ts';
import { refusal } from './prefilter.ts';
import { RecentResults } from './recent-results.ts';
import { alternativeRequest, requestFor } from './request.ts';
import { scopeAtEnd } from './syntax-scope.ts';
import { typedSince } from './typed-since.ts';

/** What the user has chosen about completions; read anew for each. */
export interface CompleterSettings {
  debounceMs: number;
  maxTokens: number;
  inComments: boolean;
  /** Milliseconds after which what is there is shown, from the first whole line on. */
  timeBudgetMs: number;
  /** Whether the next completion is made while one is shown. */
  prefetch: boolean;
  /** Alternatives where completions are asked for; 1: none. */
  alternatives: number;
}

/** What the pipeline needs of the world. */
export interface CompleterPorts {
  settings(): CompleterSettings;
  /** Makes sure that a server with a model is there. `asked`: the user waits for it. */
  ready(asked: boolean): Promise<void>;
  generate: Generate;
  /** What other files say about the code at the cursor; soon, or nothing. */
  related(cursor: Cursor): Promise<Snippet[]>;
  /** A generation began; call what is returned when it has ended. */
  began(): (failure: unknown, timings?: CompletionResult['timings']) => void;
}

/** One question of the editor. */
export interface Ask {
  cursor: Cursor;
  /** By a command, not by typing. */
  asked: boolean;
  on: boolean;
  selecting: boolean;
  suggesting: boolean;
  /** Fires when the editor does not want the answer any more. */
  signal: AbortSignal;
}

/** How long a generation goes on that nobody waits for: VS Code asks again within that time after a keystroke. */
const orphanMs = 150;
/** A completion that was shown for so long is being read: time to make the one that would follow. */
const prefetchAfterMs = 250;
/** Models that take longer are not kept busy on suspicion. */
const prefetchLatencyMs = 400;
/** Time for alternatives, beyond the first text. */
const alternativesMs = 3000;

/**
 * The pipeline of one window: prefilter, recent results, debounce, context and prompt, one generation, what is left
 * of it to insert. There is never more than one generation at a time: a newer question takes over the one that runs,
 * if what was typed since is what it says, and otherwise waits until the server has let it go.
 */
export class Completer {
  private readonly recent = new RecentResults();
  private readonly debounce = new Debounce();
  private running: Generation | undefined;
  private orphan: NodeJS.Timeout | undefined;
  private prefetching: AbortController | undefined;
  /** Where the last question was asked: VS Code may ask twice for one keystroke. */
  private lastPlace: string | undefined;
  private lastShown: { cursor: Cursor; text: string } | undefined;
  /** Counts questions: only the newest may begin something. */
  private newest = 0;
  private readonly lifetime = new AbortController();

  constructor(private readonly ports: CompleterPorts) {}

  /** Texts to insert at the cursor, the best first; none where nothing is worth showing. Never rejects. */
  async complete(ask: Ask): Promise<string[]> {
    const { cursor, asked, signal } = ask;
    const settings = this.ports.settings();
    const question = ++this.newest;
    clearTimeout(this.orphan);
    this.prefetching?.abort();
    if (!asked && this.lastPlace !== placeName(cursor)) this.debounce.typed(performance.now());
    this.lastPlace = placeName(cursor);
    const refused = refusal({ ...ask, inComments: settings.inComments });
    const known = this.recent.find(cursor);
    // What was shown a keystroke ago goes on being shown, behind whatever it says.
    const goesOn = refused === 'finished' && known !== undefined && known.texts.length > 0;
    if (refused !== undefined && !goesOn) {
      this.cancel();
      return [];
    }

    if (known !== undefined && (!asked || known.explored || settings.alternatives < 2)) {
      this.endUnlessFor(cursor);
      this.shown(cursor, known.texts[0], signal);
      return [...known.texts];
    }
    const onCancel = (): void => this.abandonSoon(question);
    signal.addEventListener('abort', onCancel, { once: true });
    try {
      if (signal.aborted) return [];
      const first = known?.texts[0] ?? (await this.first(ask, settings, question));
      if (signal.aborted || this.lifetime.signal.aborted) return [];
      if (!asked || settings.alternatives < 2) {
        this.shown(cursor, first, signal);
        return first === undefined ? [] : [first];
      }
      const texts = await this.alternatives(ask, settings, first, question);
      return signal.aborted ? [] : texts;
    } catch {
      // Shown by the status bar: nothing pops up for a completion that nobody asked for.
      return [];
    } finally {
      signal.removeEventListener('abort', onCancel);
    }
  }

  /**
   * The document has changed at `cursor`, or the cursor moved there. What runs for something else ends at once, and
   * does not wait for the next question.
   */
  changed(cursor: Cursor): void {
    this.prefetching?.abort();
    this.endUnlessFor(cursor);
  }

  /** Whether the generation that runs is for this document. */
  runsFor(document: string): boolean {
    return this.running?.cursor.document === document;
  }

  /** Ends what runs. */
  cancel(): void {
    clearTimeout(this.orphan);
    this.prefetching?.abort();
    this.running?.abort();
  }

  /** Another model: what the old one said is void. */
  forget(): void {
    this.cancel();
    this.recent.clear();
  }

  dispose(): void {
    this.lifetime.abort();
    this.cancel();
  }

  /**
   * Ends what runs unless it is for this place: because it says what has been typed, or because it follows the text
   * that is shown here.
   */
  private endUnlessFor(cursor: Cursor): void {
    if (this.running === undefined || this.running.fits(cursor)) return;
    const { lastShown } = this;
    const typed = lastShown === undefined ? undefined : typedSince(lastShown.cursor, cursor);
    const follows =
      lastShown !== undefined &&
      typed !== undefined &&
      lastShown.text.startsWith(typed) &&
      typedSince(lastShown.cursor, this.running.cursor) === lastShown.text;
    if (!follows) this.running.abort();
  }

  /** The text for a place that nothing is known of yet. */
  private async first(
    { cursor, asked, signal }: Ask,
    settings: CompleterSettings,
    question: number,
  ): Promise<string | undefined> {
    const fitting = this.running?.fits(cursor) === true ? this.running : undefined;
    if (fitting !== undefined) {
      const text = await fitting.resultAt(cursor);
      if (text !== undefined || typedSince(fitting.cursor, cursor) === '') return text;
      if (question !== this.newest) return undefined;
    }
    this.running?.abort();
    // What other files say is looked up while the user may still be typing.
    const related = this.ports.related(cursor).catch(() => []);
    const follows =
      this.lastShown !== undefined && typedSince(this.lastShown.cursor, cursor) === this.lastShown.text;
    if (!asked && !follows) {
      const wait = this.debounce.delay(settings.debounceMs);
      if (wait > 0 && !(await pause(wait, signal))) return undefined;
    }
    await this.ports.ready(asked);
    const generation = await this.begin(
      cursor,
      requestFor(cursor, await related, {
        singleLine: this.singleLine(cursor),
        maxTokens: settings.maxTokens,
      }),
      settings,
      () => question === this.newest && !signal.aborted,
    );
    if (generation === undefined) return undefined;
    const started = performance.now();
    const text = await generation.result;
    if (generation.aborted) return undefined;
    this.debounce.answered(performance.now() - started);
    this.recent.add(cursor, { texts: text === undefined ? [] : [text], explored: false });
    return text;
  }

  /** Other texts for the same place, after the first: sampled, one after the other, as far as the time goes. */
  private async alternatives(
    { cursor, signal }: Ask,
    settings: CompleterSettings,
    first: string | undefined,
    question: number,
  ): Promise<string[]> {
    const texts = first === undefined ? [] : [first];
    const until = performance.now() + alternativesMs;
    const request = requestFor(cursor, await this.ports.related(cursor).catch(() => []), {
      singleLine: this.singleLine(cursor),
      maxTokens: settings.maxTokens,
    });
    // Some say what was said before.
    const tries = 2 * settings.alternatives;
    for (let seed = 1; seed <= tries && texts.length < settings.alternatives; seed++) {
      if (performance.now() > until) break;
      const wanted = (): boolean => question === this.newest && !signal.aborted;
      const generation = await this.begin(cursor, alternativeRequest(request, seed), settings, wanted);
      if (generation === undefined) return [];
      const text = await generation.result;
      if (generation.aborted) return [];
      if (text !== undefined && !texts.includes(text)) texts.push(text);
    }
    this.recent.add(cursor, { texts, explored: true });
    return texts;
  }

  /** Begins a generation once the former has ended on the server; undefined where it is not wanted any more by then. */
  private async begin(
    cursor: Cursor,
    request: Request,
    { timeBudgetMs }: CompleterSettings,
    wanted: () => boolean,
  ): Promise<Generation | undefined> {
    while (this.running !== undefined) {
      this.running.abort();
      await this.running.ended;
    }
    if (!wanted() || this.lifetime.signal.aborted) return undefined;
    const ended = this.ports.began();
    let timings: CompletionResult['timings'] | undefined;
    const generate: Generate = async (...parameters) => {
      const answer = await this.ports.generate(...parameters);
      timings = answer.timings;
      return answer;
    };
    const generation = new Generation({ cursor, request, generate, timeBudgetMs });
    this.running = generation;
    generation.result
      .then(
        () => ended(generation.aborted ? 'cancelled' : undefined, timings),
        (error: unknown) => ended(asOneBitError(error)),
      )
      .finally(() => {
        if (this.running === generation) this.running = undefined;
      })
      .catch(() => {});
    return generation;
  }

  private singleLine(cursor: Cursor): boolean {
    const before = lineBefore(cursor);
    const after = lineAfter(cursor);
    return (
      asksOneLine(before, after) || asksOneLine(before, after, scopeAtEnd(cursor.before, cursor.language))
    );
  }

  /** Nobody waits for what runs, unless a question comes soon that it answers. */
  private abandonSoon(question: number): void {
    clearTimeout(this.orphan);
    this.orphan = setTimeout(() => {
      if (question === this.newest) this.running?.abort();
    }, orphanMs);
  }

  /** A text goes to the editor: when it is read for a while, the one after it is made, so that it is there at once. */
  private shown(cursor: Cursor, text: string | undefined, signal: AbortSignal): void {
    if (text === undefined || signal.aborted) return;
    this.lastShown = { cursor, text };
    const settings = this.ports.settings();
    if (!settings.prefetch || (this.debounce.latency ?? 0) > prefetchLatencyMs) return;
    const next = advanced(cursor, text);
    const { inComments } = settings;
    const worth =
      refusal({ cursor: next, asked: false, on: true, selecting: false, suggesting: false, inComments }) ===
      undefined;
    if (!worth || this.recent.find(next) !== undefined) return;
    const controller = new AbortController();
    this.prefetching = controller;
    void this.prefetch(next, settings, AbortSignal.any([controller.signal, this.lifetime.signal]));
  }

  private async prefetch(cursor: Cursor, settings: CompleterSettings, signal: AbortSignal): Promise<void> {
    if (!(await pause(prefetchAfterMs, signal)) || this.running !== undefined) return;
    try {
      const snippets = await this.ports.related(cursor);
      const request = requestFor(cursor, snippets, {
        singleLine: this.singleLine(cursor),
        maxTokens: settings.maxTokens,
      });
      const generation = await this.begin(cursor, request, settings, () => !signal.aborted);
      const text = await generation?.result;
      if (generation === undefined || generation.aborted) return;
      this.recent.add(cursor, { texts: text === undefined ? [] : [text], explored: false });
    } catch {
      // The status bar says what is wrong; nobody has asked for this.
    }
  }
}

function placeName({ document, offset }: Cursor): string {
  return `${offset} ${document}`;
}
