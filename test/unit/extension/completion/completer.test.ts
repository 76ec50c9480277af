import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { Completer, type CompleterSettings } from '../../../../extension/completion/completer.ts';
import { advanced, type Cursor } from '../../../../extension/completion/cursor.ts';
import type { Request } from '../../../../extension/completion/generation.ts';
import type { CompletionResult } from '../../../../server/protocol/completion.ts';
import { OneBitError } from '../../../../server/protocol/error.ts';
import { cursorAt } from './cursor-at.ts';

// The server's part is played by hand here: what these tests are about is which piece comes before which keystroke.
// test/integration/completion-pipeline.test.ts has the real one.

/** One request that the pipeline has made; the test says what the model says. */
class Played {
  text = '';
  cancelled = false;
  readonly answer: Promise<CompletionResult>;
  private settle: (finishReason: CompletionResult['finishReason']) => void = () => {};
  private break: (error: Error) => void = () => {};

  constructor(
    readonly request: Request,
    private readonly onText: (text: string) => void,
    signal: AbortSignal,
    private readonly onEnd: () => void,
    /** Milliseconds that the server takes to let go of a cancelled request. */
    lingersMs: number,
  ) {
    this.answer = new Promise((resolve, reject) => {
      this.settle = (finishReason) => {
        this.onEnd();
        const { text } = this;
        const timings = {
          promptTokens: 1,
          cachedTokens: 0,
          completionTokens: 1,
          queueMs: 0,
          prefillMs: 0,
          decodeMs: 0,
        };
        resolve({ id: 'c', text, finishReason, model: 'm', infilled: false, timings });
      };
      this.break = reject;
    });
    signal.addEventListener('abort', () => {
      this.cancelled = true;
      setTimeout(() => this.settle('cancelled'), lingersMs);
    });
  }

  says(text: string): void {
    this.text += text;
    this.onText(text);
  }
  ends(text = ''): void {
    this.says(text);
    this.settle('stop');
  }
  fails(message: string): void {
    this.onEnd();
    this.break(new OneBitError('busy', message));
  }
}

function stage(change: Partial<CompleterSettings> = {}, lingersMs = 0) {
  const requests: Played[] = [];
  let running = 0;
  let most = 0;
  const outcomes: unknown[] = [];
  const completer = new Completer({
    settings: () => ({
      ...{
        debounceMs: 0,
        maxTokens: 64,
        inComments: true,
        timeBudgetMs: 60_000,
        prefetch: false,
        alternatives: 1,
      },
      ...change,
    }),
    ready: () => Promise.resolve(),
    generate: (request, onText, signal) => {
      most = Math.max(most, ++running);
      const played = new Played(request, onText, signal, () => running--, lingersMs);
      requests.push(played);
      return played.answer;
    },
    related: () => Promise.resolve([]),
    began: () => (failure) => void outcomes.push(failure),
  });
  let current = new AbortController();
  /** As VS Code asks: a new question cancels the one before. */
  const ask = (cursor: Cursor, more: object = {}) => {
    current.abort();
    current = new AbortController();
    const flags = { asked: false, on: true, selecting: false, suggesting: false };
    return completer.complete({ cursor, ...flags, ...more, signal: current.signal });
  };
  const nth = async (index: number): Promise<Played> => {
    for (let turn = 0; turn < 2000; turn++) {
      const request = requests[index];
      if (request !== undefined) return request;
      await sleep(1);
    }
    throw new Error(`Request ${index} did not come.`);
  };
  return {
    ...{ completer, requests, outcomes, ask, nth },
    cancel: () => current.abort(),
    running: () => running,
    most: () => most,
  };
}

let open: Completer[] = [];
const use = (...parameters: Parameters<typeof stage>) => {
  const made = stage(...parameters);
  open.push(made.completer);
  return made;
};
afterEach(() => {
  for (const completer of open) completer.dispose();
  open = [];
});
const place = cursorAt('const a = |\nrest();');
const typed = (text: string) => advanced(place, text);

describe('typing', () => {
  test('shows what the model says', async () => {
    const { ask, nth } = use();
    const shown = ask(place);
    const request = await nth(0);
    expect(request.request).toMatchObject({ prefix: 'const a = ', suffix: '\nrest();', singleLine: true });
    request.ends('value;');
    expect(await shown).toEqual(['value;']);
  });

  test('what was typed is what the generation says: it is kept, and the rest shown', async () => {
    const { ask, nth, requests, most } = use();
    const first = ask(place);
    (await nth(0)).says('valu');
    const second = ask(typed('va'));
    (await nth(0)).ends('e;');
    expect(await first).toEqual([]);
    expect(await second).toEqual(['lue;']);
    expect(requests).toHaveLength(1);
    expect(most()).toBe(1);
  });

  test('something else was typed: the generation is given up before the next begins', async () => {
    const { ask, nth, most } = use({}, 20);
    const first = ask(place);
    (await nth(0)).says('valu');
    const second = ask(typed('x'));
    const next = await nth(1);
    expect((await nth(0)).cancelled).toBe(true);
    next.ends('yz;');
    expect(await first).toEqual([]);
    expect(await second).toEqual(['yz;']);
    expect(most()).toBe(1);
  });

  test('every keystroke something else: never two at a time, and only the last is answered', async () => {
    const { ask, most, nth, requests } = use({}, 5);
    const answers = [];
    for (const text of ['q', 'qw', 'qwe', 'qwer', 'qwert']) {
      answers.push(ask(typed(text)));
      await sleep(3);
    }
    for (let turn = 0; turn < 500 && requests.at(-1)?.request.prefix !== 'const a = qwert'; turn++)
      await sleep(2);
    (await nth(requests.length - 1)).ends('y;');
    expect((await Promise.all(answers)).map((texts) => texts.length)).toEqual([0, 0, 0, 0, 1]);
    expect(most()).toBe(1);
  });

  test('a document that changes elsewhere ends the generation without waiting for the next question', async () => {
    const { ask, completer, nth } = use();
    void ask(place);
    const request = await nth(0);
    request.says('valu');
    completer.changed(typed('v'));
    expect(request.cancelled).toBe(false);
    completer.changed(typed('vx'));
    expect(request.cancelled).toBe(true);
  });

  test('nobody asks on: the generation ends by itself, and shows nothing', async () => {
    const { ask, cancel, nth } = use();
    const shown = ask(place);
    const request = await nth(0);
    cancel();
    for (let turn = 0; turn < 1000 && !request.cancelled; turn++) await sleep(2);
    expect(request.cancelled).toBe(true);
    expect(await shown).toEqual([]);
  });

  test('a question that is refused ends what runs', async () => {
    const { ask, nth } = use();
    void ask(place);
    const request = await nth(0);
    expect(await ask(typed('x'), { on: false })).toEqual([]);
    expect(request.cancelled).toBe(true);
  });
});

describe('the generation ends early', () => {
  test('where its block ends', async () => {
    const { ask, nth } = use();
    const shown = ask(cursorAt('function f() {|'));
    const request = await nth(0);
    request.says('\n  a();\n}');
    expect(request.cancelled).toBe(false);
    request.says('\n\nfunction');
    expect(request.cancelled).toBe(true);
    expect(await shown).toEqual(['\n  a();\n}']);
  });

  test('where the time is over, after a whole line', async () => {
    const { ask, nth } = use({ timeBudgetMs: 1 });
    const shown = ask(cursorAt('function f() {|'));
    const request = await nth(0);
    await sleep(5);
    request.says('\n  firs');
    expect(request.cancelled).toBe(false);
    request.says('t();\n  sec');
    expect(request.cancelled).toBe(true);
    expect(await shown).toEqual(['\n  first();']);
  });
});

describe('results', () => {
  test('serve again: typed on, taken back, and for the same place', async () => {
    const { ask, nth, requests } = use();
    const shown = ask(place);
    (await nth(0)).ends('value;');
    await shown;
    expect(await ask(typed('val'))).toEqual(['ue;']);
    expect(await ask(place)).toEqual(['value;']);
    expect(requests).toHaveLength(1);
  });

  test('go on while they are typed, also behind the statement that they finish', async () => {
    const { ask, nth } = use();
    const shown = ask(place);
    (await nth(0)).ends('one; two();');
    await shown;
    expect(await ask(typed('one;'))).toEqual([' two();']);
    expect(await ask(cursorAt('const a = 1;|\nrest();'))).toEqual([]);
  });

  test('are void with another model', async () => {
    const { ask, completer, nth } = use();
    const shown = ask(place);
    (await nth(0)).ends('value;');
    await shown;
    completer.forget();
    const again = ask(place);
    (await nth(1)).ends('other;');
    expect(await again).toEqual(['other;']);
  });

  test('that are not worth showing are not asked for twice', async () => {
    const { ask, nth, requests } = use();
    const shown = ask(place);
    (await nth(0)).ends('   ');
    expect(await shown).toEqual([]);
    expect(await ask(place)).toEqual([]);
    expect(requests).toHaveLength(1);
  });

  test('an error shows nothing, is told once, and the next keystroke asks anew', async () => {
    const { ask, nth, outcomes } = use();
    const shown = ask(place);
    (await nth(0)).fails('too many');
    expect(await shown).toEqual([]);
    expect(outcomes).toHaveLength(1);
    expect(outcomes[0]).toMatchObject({ code: 'busy' });
    const next = ask(typed('x'));
    (await nth(1)).ends('y;');
    expect(await next).toEqual(['y;']);
  });
});

describe('alternatives', () => {
  test('are looked for where asked, one after the other, and each comes once', async () => {
    const { ask, nth, most, requests } = use({ alternatives: 3 });
    const shown = ask(place, { asked: true });
    for (const [index, text] of ['one;', 'two;', 'one;', 'three;'].entries()) (await nth(index)).ends(text);
    expect(await shown).toEqual(['one;', 'two;', 'three;']);
    expect(most()).toBe(1);
    expect(requests[0]?.request.temperature).toBeUndefined();
    expect(requests[1]?.request.temperature).toBeGreaterThan(0);
    expect(await ask(place, { asked: true })).toHaveLength(3);
    expect(await ask(typed('t'))).toEqual(['wo;', 'hree;']);
    expect(requests).toHaveLength(4);
  });

  test('begin with the text that is shown already', async () => {
    const { ask, nth } = use({ alternatives: 2 });
    const shown = ask(place);
    (await nth(0)).ends('one;');
    await shown;
    const more = ask(place, { asked: true });
    (await nth(1)).ends('two;');
    expect(await more).toEqual(['one;', 'two;']);
  });
});

describe('the text after the next', () => {
  test('is made while the first is shown, and is there after it was accepted', async () => {
    const { ask, nth, requests } = use({ prefetch: true });
    const shown = ask(place);
    (await nth(0)).ends('call(');
    expect(await shown).toEqual(['call(']);
    const ahead = await nth(1);
    expect(ahead.request.prefix).toBe('const a = call(');
    // Typing the first goes on showing it, and does not disturb the second.
    expect(await ask(typed('ca'))).toEqual(['ll(']);
    ahead.ends('x);');
    for (let turn = 0; turn < 5; turn++) await sleep(1);
    expect(await ask(typed('call('))).toEqual(['x);']);
    expect(requests).toHaveLength(2);
  });

  test('is not made behind a finished statement, nor without the setting', async () => {
    const finished = use({ prefetch: true });
    const shown = finished.ask(place);
    (await finished.nth(0)).ends('call();');
    await shown;
    const off = use();
    const other = off.ask(place);
    (await off.nth(0)).ends('call(');
    await other;
    await sleep(400);
    expect(finished.requests).toHaveLength(1);
    expect(off.requests).toHaveLength(1);
  });

  test('gives way to what is typed instead', async () => {
    const { ask, nth, most } = use({ prefetch: true });
    const shown = ask(place);
    (await nth(0)).ends('call(');
    await shown;
    const ahead = await nth(1);
    const other = ask(typed('x'));
    (await nth(2)).ends('y;');
    expect(await other).toEqual(['y;']);
    expect(ahead.cancelled).toBe(true);
    expect(most()).toBe(1);
  });
});
