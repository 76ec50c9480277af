import { OneBitError, asOneBitError } from '../protocol/error.ts';
import type { FinishReason } from '../protocol/completion.ts';
import type { Tokenizer, StreamDecoder } from '../tokenizer/tokenizer.ts';
import { mostTop, type Engine, type EngineStep, type Sequence, type TopLogits } from './engine.ts';
import type { GenerateEvent, GenerateRequest, GenerateResult } from './language-model.ts';
import { planPass } from './pass-plan.ts';
import { isBulk, RequestQueue } from './request-queue.ts';
import { findPrefix, sharedPrefix, withoutFollowers } from './shared-prefix.ts';
import { Sampler } from './sampler.ts';
import { StopText } from './stop-text.ts';
import { tokenLogprobs, topLogprobs, type ChosenLogprob } from './token-logprobs.ts';

/** One KV cache and the tokens it holds. */
interface Slot {
  sequence: Sequence;
  tokens: number[];
  busy: boolean;
  lastUsed: number;
  /** The editor that last worked with it, and when, in milliseconds; undefined after a bulk request. */
  editor: { client: string; at: number } | undefined;
  /** Where the engine puts the logits of this slot's next token, once all of them are needed. */
  logits: Float32Array | undefined;
}

/** Fewer tokens than this are made anew rather than that another cache's rest is lost for them. */
const fewTokens = 64;
/** Milliseconds for which an editor's KV cache is kept from bulk requests after its last use. The last one always is. */
const keptMs = 60_000;

interface Running {
  request: GenerateRequest;
  slot: Slot;
  /** Prompt and generated tokens; the first slot.tokens.length of them are in the cache. */
  history: number[];
  generated: number[];
  text: string;
  /** The text goes on in a second line. */
  lineEnded: boolean;
  sampler: Sampler;
  decoder: StreamDecoder | undefined;
  stops: StopText;
  limit: number;
  stopIds: ReadonlySet<number>;
  cachedTokens: number;
  startedAt: number;
  firstTokenAt: number | undefined;
  waiting: Waiting;
}

interface Waiting {
  request: GenerateRequest;
  onEvent: ((event: GenerateEvent) => void) | undefined;
  signal: AbortSignal | undefined;
  queuedAt: number;
  resolve(result: GenerateResult): void;
  reject(error: OneBitError): void;
}

/**
 * Continuous batching: requests that run together share every forward pass, a new one joins between
 * two passes, and each keeps the KV cache of whichever idle slot shares its longest prefix. What any other cache holds of
 * its prompt, a running request's too, is copied from there where the engine can. Bulk requests
 * leave their KV caches to the editors that work at the time, all but one, and stand back while an editor is served.
 */
export class Scheduler {
  readonly #engine: Engine;
  readonly #tokenizer: Tokenizer | undefined;
  readonly #slots: Slot[] = [];
  readonly #slotLimit: number;
  readonly #waiting: RequestQueue<Waiting>;
  #passes = 0;
  #running: Running[] = [];
  #clock = 0;
  #loop: Promise<void> | undefined;
  #disposed = false;

  constructor(
    engine: Engine,
    tokenizer: Tokenizer | undefined,
    limits: { sequences: number; queue: number },
  ) {
    this.#engine = engine;
    this.#tokenizer = tokenizer;
    this.#slotLimit = limits.sequences;
    this.#waiting = new RequestQueue(limits.queue);
  }

  get active(): number {
    return this.#running.length;
  }
  get queued(): number {
    return this.#waiting.length;
  }

  /**
   * Runs one request. Ends with finishReason `cancelled` when the signal fires.
   * @throws bad-request (empty or too long prompt), busy (queue full), no-model (disposed meanwhile).
   */
  submit(
    request: GenerateRequest,
    onEvent?: (event: GenerateEvent) => void,
    signal?: AbortSignal,
  ): Promise<GenerateResult> {
    this.#check(request);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request, onEvent, signal, queuedAt: performance.now(), resolve, reject });
      this.#wake();
    });
  }

  /** A request may come in the moment between the loop's last look and its end: then it begins again. */
  #wake(): void {
    this.#loop ??= this.#run().finally(() => {
      this.#loop = undefined;
      if (this.#waiting.length > 0) this.#wake();
    });
  }

  /** Ends every request and frees the caches. The engine stays its owner's. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    while (this.#loop !== undefined) await this.#loop;
    for (const slot of this.#slots) slot.sequence.dispose();
    this.#slots.length = 0;
  }

  #check(request: GenerateRequest): void {
    const { prompt, maxTokens } = request;
    const { vocabSize } = this.#engine.config;
    if (this.#disposed) throw new OneBitError('no-model', 'The model was unloaded.');
    if (prompt.length === 0) {
      throw new OneBitError('bad-request', 'The prompt has no tokens: give at least one (or a BOS token).');
    }
    const outside = prompt.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
    if (outside !== undefined) {
      throw new OneBitError(
        'bad-request',
        `Token id ${outside} is outside the vocabulary (0 to ${vocabSize - 1}).`,
      );
    }
    if (prompt.length + Math.min(maxTokens, 1) > this.#engine.contextLength) {
      throw new OneBitError(
        'bad-request',
        `The prompt has ${prompt.length} tokens and the context holds ${this.#engine.contextLength}: ` +
          'shorten the prompt or load the model with a longer context.',
      );
    }
    this.#waiting.check({ request });
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0 || this.#running.length > 0) {
      this.#admit();
      this.#finishAborted();
      await this.#copyPrefixes();
      if (this.#running.length === 0) continue;
      const left = ({ slot, history }: Running): number => history.length - slot.tokens.length;
      const now = this.#engine.copyPositions === undefined ? this.#running : withoutFollowers(this.#running);
      const plan = planPass(now, ++this.#passes, left, this.#editorSlots().length > 0);
      const batch = plan.map(({ running }) => running);
      const steps = plan.map(({ running, tokens }) =>
        nextStep(running, tokens, this.#engine.config.vocabSize),
      );
      let logits: Float32Array[];
      try {
        logits = await this.#engine.forward(steps);
      } catch (caught) {
        // The caches may hold half a step: nobody may reuse them.
        const error = asOneBitError(caught);
        for (const running of batch) this.#drop(running, error);
        continue;
      }
      batch.forEach((running, i) => {
        const step = steps[i];
        const row = logits[i];
        if (step === undefined) return;
        for (const id of Array.from(step.tokens)) running.slot.tokens.push(id);
        if (step.logits === 'last' && row !== undefined) this.#advance(running, row, step.top);
      });
    }
  }

  /** Gives each request the part of its prompt that another cache holds. */
  async #copyPrefixes(): Promise<void> {
    if (this.#engine.copyPositions === undefined) return;
    for (const running of this.#running) {
      const { slot, history } = running;
      const found = findPrefix(this.#slots, running);
      if (found === undefined) continue;
      try {
        await this.#engine.copyPositions(found.slot.sequence, slot.sequence, found.end);
      } catch (caught) {
        // As after a pass that failed: what the cache holds is not known.
        this.#drop(running, asOneBitError(caught));
        continue;
      }
      running.cachedTokens += found.end - slot.tokens.length;
      slot.tokens.push(...history.slice(slot.tokens.length, found.end));
    }
  }

  #admit(): void {
    if (this.#disposed) {
      for (const each of this.#waiting.take(() => true)) {
        each.reject(new OneBitError('no-model', 'The model was unloaded.'));
      }
    }
    for (const each of this.#waiting.take(({ signal }) => signal?.aborted ?? false)) {
      each.resolve(cancelledBeforeStart(each));
    }
    for (;;) {
      const bulk = this.#running.filter(({ request }) => isBulk(request.turn)).length;
      // One is kept before the first editor has come, too.
      const kept = Math.max(1, this.#editorSlots().length);
      const next = this.#waiting.next(this.#running, bulk < Math.max(1, this.#slotLimit - kept));
      if (next === undefined) return;
      let slot: Slot | undefined;
      try {
        slot = this.#slotFor(next.request);
      } catch (caught) {
        this.#waiting.remove(next);
        next.reject(asOneBitError(caught));
        continue;
      }
      if (slot === undefined) return;
      this.#waiting.remove(next);
      this.#start(next, slot);
    }
  }

  /**
   * The idle slot that shares the longest prefix; where none shares enough a fresh one, or the oldest: first of those that
   * no editor needs, then of the request's own, then of other windows'.
   */
  #slotFor({ prompt, turn }: GenerateRequest): Slot | undefined {
    const kept = this.#editorSlots();
    const idle = this.#slots.filter((slot) => !slot.busy && !(isBulk(turn) && kept.includes(slot)));
    let best: Slot | undefined;
    let bestShared = 0;
    for (const slot of idle) {
      const shared = sharedPrefix(slot.tokens, prompt);
      if (shared > bestShared) {
        best = slot;
        bestShared = shared;
      }
    }
    // A short shared prefix (a BOS token, a licence header) is not worth another cache's rest.
    const worth = Math.min(best?.tokens.length ?? 0, Math.max(prompt.length, fewTokens));
    if (best !== undefined && bestShared * 2 >= worth) return best;
    if (this.#slots.length < this.#slotLimit) {
      const slot: Slot = {
        sequence: this.#engine.open(),
        tokens: [],
        busy: false,
        lastUsed: 0,
        editor: undefined,
        logits: undefined,
      };
      this.#slots.push(slot);
      return slot;
    }
    const cost = (slot: Slot): number => {
      if (!kept.includes(slot)) return 0;
      return slot.editor?.client === turn?.client ? 1 : 2;
    };
    // For few tokens the cache with the least to lose.
    const lost = ({ tokens }: Slot): number => (prompt.length < fewTokens ? tokens.length : 0);
    return idle.sort((a, b) => cost(a) - cost(b) || lost(a) - lost(b) || a.lastUsed - b.lastUsed)[0];
  }

  /**
   * The KV caches that editors' next keystrokes need: the last one that an editor worked with, and the last one of each
   * other window that has been used lately. One cache stays for bulk requests.
   */
  #editorSlots(): Slot[] {
    const lately = performance.now() - keptMs;
    return this.#slots
      .filter(({ editor }) => editor !== undefined)
      .sort((a, b) => (b.editor?.at ?? 0) - (a.editor?.at ?? 0))
      .filter(
        ({ editor }, place, sorted) =>
          place === 0 ||
          ((editor?.at ?? 0) > lately &&
            sorted.findIndex((other) => other.editor?.client === editor?.client) === place),
      )
      .slice(0, this.#slotLimit - 1);
  }

  #start(waiting: Waiting, slot: Slot): void {
    const { request } = waiting;
    // The last prompt token always runs: its logits choose the first new token.
    const shared = request.reuseCache === false ? 0 : sharedPrefix(slot.tokens, request.prompt);
    const cachedTokens = Math.min(shared, request.prompt.length - 1);
    const client = request.turn?.client ?? '';
    slot.editor = isBulk(request.turn) ? undefined : { client, at: performance.now() };
    slot.sequence.truncate(cachedTokens);
    slot.tokens.length = cachedTokens;
    slot.busy = true;
    slot.lastUsed = ++this.#clock;
    this.#running.push({
      request,
      slot,
      history: [...request.prompt],
      generated: [],
      text: '',
      lineEnded: false,
      sampler: new Sampler(request.sampling),
      // After a prompt of the BOS token alone the text begins: its first space is the tokenizer's, not its own.
      decoder: this.#tokenizer?.stream({
        continuation: request.prompt.some((id) => id !== this.#tokenizer?.bosId),
      }),
      stops: new StopText(request.stop, request.singleLine ?? false, request.minIndent),
      limit: Math.min(request.maxTokens, this.#engine.contextLength - request.prompt.length),
      stopIds: new Set(request.stopIds ?? []),
      cachedTokens,
      startedAt: performance.now(),
      firstTokenAt: undefined,
      waiting,
    });
  }

  /** Samples the next token of a request whose logits have come, and ends the request where it must end. */
  #advance(running: Running, logits: Float32Array, top?: TopLogits): void {
    const now = performance.now();
    running.firstTokenAt ??= now;
    if (running.limit <= 0) return this.#finish(running, 'length');
    const { id, logprobs } = choose(running, logits, top);
    if (running.stopIds.has(id)) return this.#finish(running, 'stop');
    running.history.push(id);
    running.generated.push(id);
    const raw = running.decoder?.push(id) ?? '';
    running.lineEnded ||= raw.includes('\n');
    this.#emit(running, [id], raw, logprobs);
    if (running.stops.stopped) return this.#finish(running, 'stop');
    if (running.generated.length >= running.limit) return this.#finish(running, 'length');
    const { maxMilliseconds = 0, lineMilliseconds = 0 } = running.request;
    const took = now - running.firstTokenAt;
    const over = (budget: number): boolean => budget > 0 && took >= budget;
    if (over(maxMilliseconds) || (running.lineEnded && over(lineMilliseconds))) this.#finish(running, 'time');
  }

  #emit(running: Running, ids: number[], raw: string, logprobs: ChosenLogprob[]): void {
    const text = running.stops.push(raw);
    running.text += text;
    running.waiting.onEvent?.({ ids, text, logprobs });
  }

  #finishAborted(): void {
    for (const running of [...this.#running]) {
      if (this.#disposed || running.waiting.signal?.aborted) this.#finish(running, 'cancelled');
    }
  }

  #finish(running: Running, finishReason: FinishReason): void {
    this.#release(running);
    if (!running.stops.stopped) {
      const rest = running.stops.push(running.decoder?.end() ?? '') + running.stops.end();
      if (rest !== '') {
        running.text += rest;
        running.waiting.onEvent?.({ ids: [], text: rest, logprobs: [] });
      }
    }
    const now = performance.now();
    const decodeFrom = running.firstTokenAt ?? now;
    running.waiting.resolve({
      ids: running.generated,
      text: running.text,
      finishReason,
      stoppedBy: finishReason === 'stop' ? running.stops.stoppedBy : undefined,
      timings: {
        promptTokens: running.request.prompt.length,
        cachedTokens: running.cachedTokens,
        completionTokens: running.generated.length,
        queueMs: running.startedAt - running.waiting.queuedAt,
        prefillMs: decodeFrom - running.startedAt,
        decodeMs: now - decodeFrom,
      },
    });
  }

  #drop(running: Running, error: OneBitError): void {
    this.#release(running);
    running.slot.sequence.dispose();
    this.#slots.splice(this.#slots.indexOf(running.slot), 1);
    running.waiting.reject(error);
  }

  #release(running: Running): void {
    running.slot.busy = false;
    this.#running = this.#running.filter((other) => other !== running);
  }
}

function nextStep(
  { slot, history, sampler, generated, request }: Running,
  count: number,
  vocabSize: number,
): EngineStep {
  const from = slot.tokens.length;
  const to = from + count;
  const step = { sequence: slot.sequence, tokens: history.slice(from, to) };
  if (to < history.length) return { ...step, logits: 'none' };
  // Before minTokens the end tokens are ruled out, which may be the most likely ones.
  const needed = generated.length < (request.minTokens ?? 0) ? undefined : sampler.topNeeded(mostTop);
  const wanted = Math.max(needed ?? 0, request.logprobs ?? 0);
  if (needed === undefined || wanted > mostTop) {
    slot.logits ??= new Float32Array(vocabSize);
    return { ...step, logits: 'last', into: slot.logits };
  }
  return { ...step, logits: 'last', top: { wanted, ids: [], logits: [], logSumExp: 0 } };
}

/** The next token, from the most likely ones where the engine has named them, else from all logits. */
function choose(
  { request, generated, stopIds, sampler, history }: Running,
  logits: Float32Array,
  top: TopLogits | undefined,
): { id: number; logprobs: ChosenLogprob[] } {
  const wanted = request.logprobs;
  if (top !== undefined && top.ids.length > 0) {
    const id = sampler.sampleTop(top);
    return { id, logprobs: wanted === undefined ? [] : [topLogprobs(top, id, wanted)] };
  }
  if (generated.length < (request.minTokens ?? 0)) for (const end of stopIds) logits[end] = -Infinity;
  // The sampler changes the logits in place.
  const plain = wanted === undefined ? undefined : logits.slice();
  const id = sampler.sample(logits, history);
  return { id, logprobs: plain === undefined ? [] : [tokenLogprobs(plain, id, wanted ?? 0)] };
}

function cancelledBeforeStart({ request, queuedAt }: Waiting): GenerateResult {
  return {
    ids: [],
    text: '',
    finishReason: 'cancelled',
    timings: {
      promptTokens: request.prompt.length,
      cachedTokens: 0,
      completionTokens: 0,
      queueMs: performance.now() - queuedAt,
      prefillMs: 0,
      decodeMs: 0,
    },
  };
}
