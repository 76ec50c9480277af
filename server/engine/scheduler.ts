import { OneBitError, asOneBitError } from '../protocol/error.ts';
import type { FinishReason } from '../protocol/completion.ts';
import type { Tokenizer, StreamDecoder } from '../tokenizer/tokenizer.ts';
import { mostTop, type Engine, type EngineStep, type Sequence, type TopLogits } from './engine.ts';
import type { GenerateEvent, GenerateRequest, GenerateResult } from './language-model.ts';
import { isBulk, RequestQueue } from './request-queue.ts';
import { Sampler } from './sampler.ts';
import { StopText } from './stop-text.ts';
import { tokenLogprobs, topLogprobs, type ChosenLogprob } from './token-logprobs.ts';

/** Prompt tokens of one request that go through the engine in one batch with others' decode steps. */
const prefillBlock = 256;

/** While editors are served, bulk requests take part in one pass of so many. */
const bulkPass = 8;

/** One KV cache and the tokens it holds. */
interface Slot {
  sequence: Sequence;
  tokens: number[];
  busy: boolean;
  lastUsed: number;
}

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
 * two passes, and each keeps the KV cache of whichever idle slot shares its longest prefix. Bulk requests
 * leave one KV cache to editors, and stand back while an editor is served.
 */
export class Scheduler {
  readonly #engine: Engine;
  readonly #tokenizer: Tokenizer | undefined;
  readonly #slots: Slot[] = [];
  readonly #slotLimit: number;
  readonly #waiting: RequestQueue<Waiting>;
  /** What an editor last worked with: its next keystroke needs it. */
  #editorSlot: Slot | undefined;
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
      this.#loop ??= this.#run().finally(() => {
        this.#loop = undefined;
      });
    });
  }

  /** Ends every request and frees the caches. The engine stays its owner's. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    await this.#loop;
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
      if (this.#running.length === 0) continue;
      const batch = this.#batch();
      const steps = batch.map((running) => nextStep(running));
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

  /** Who takes part in the next pass. */
  #batch(): Running[] {
    this.#passes++;
    const editors = this.#running.filter(({ request }) => !isBulk(request.turn));
    return editors.length > 0 && this.#passes % bulkPass !== 0 ? editors : this.#running;
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
      const next = this.#waiting.next(this.#running, bulk < Math.max(1, this.#slotLimit - 1));
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

  /** The idle slot that shares the longest prefix; without any shared prefix a fresh one, or the oldest. */
  #slotFor({ prompt, turn }: GenerateRequest): Slot | undefined {
    const kept = isBulk(turn) && this.#slotLimit > 1 ? this.#editorSlot : undefined;
    const idle = this.#slots.filter((slot) => !slot.busy && slot !== kept);
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
    if (best !== undefined && bestShared * 2 >= Math.min(best.tokens.length, prompt.length)) return best;
    if (this.#slots.length < this.#slotLimit) {
      const slot: Slot = { sequence: this.#engine.open(), tokens: [], busy: false, lastUsed: 0 };
      this.#slots.push(slot);
      return slot;
    }
    return best ?? idle.sort((a, b) => a.lastUsed - b.lastUsed)[0];
  }

  #start(waiting: Waiting, slot: Slot): void {
    const { request } = waiting;
    // The last prompt token always runs: its logits choose the first new token.
    const shared = request.reuseCache === false ? 0 : sharedPrefix(slot.tokens, request.prompt);
    const cachedTokens = Math.min(shared, request.prompt.length - 1);
    if (!isBulk(request.turn)) this.#editorSlot = slot;
    else if (this.#editorSlot === slot) this.#editorSlot = undefined;
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
    if (this.#editorSlot === running.slot) this.#editorSlot = undefined;
    running.waiting.reject(error);
  }

  #release(running: Running): void {
    running.slot.busy = false;
    this.#running = this.#running.filter((other) => other !== running);
  }
}

function nextStep({ slot, history, sampler, generated, request }: Running): EngineStep {
  const from = slot.tokens.length;
  const to = Math.min(history.length, from + prefillBlock);
  const step = { sequence: slot.sequence, tokens: history.slice(from, to) };
  if (to < history.length) return { ...step, logits: 'none' };
  // Before minTokens the end tokens are ruled out, which may be the most likely ones.
  const needed = generated.length < (request.minTokens ?? 0) ? undefined : sampler.topNeeded(mostTop);
  const wanted = Math.max(needed ?? 0, request.logprobs ?? 0);
  if (needed === undefined || wanted > mostTop) return { ...step, logits: 'last' };
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

function sharedPrefix(a: readonly number[], b: readonly number[]): number {
  const limit = Math.min(a.length, b.length);
  let n = 0;
  while (n < limit && a[n] === b[n]) n++;
  return n;
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
