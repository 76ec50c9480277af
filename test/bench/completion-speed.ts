// What a developer feels of completions: the extension's pipeline without VS Code, on the real server and the starter
// model, with real files.
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Completer, type CompleterSettings } from '../../extension/completion/completer.ts';
import { RecentDocuments } from '../../extension/completion/context/recent-documents.ts';
import { RelatedContext } from '../../extension/completion/context/related-context.ts';
import type { Cursor } from '../../extension/completion/cursor.ts';
import { fromWholeLine, windowLimits, windowStart } from '../../extension/completion/text-window.ts';
import { readServerFile } from '../../extension/server-link/find-server.ts';
import { ServerClient } from '../../extension/server-link/server-client.ts';
import { readCode, type CodeFile } from './code-samples.ts';

export interface CompletionBenchOptions {
  root: string;
  /** A folder for the server's state. */
  folder: string;
  model: string;
  threads: number;
  positions: number;
  keystrokes: number;
  perSecond: number;
  /** Lines of `{"path", "text"}`; undefined: the packages that are installed here. */
  code?: string;
}

interface Latency {
  p50: number;
  p95: number;
  /** Of the positions asked at, how many there was something to show for. */
  shown: number;
  asked: number;
  cachedShare: number;
}

export interface CompletionBench {
  /** The keystroke after others at the same place: the KV cache has nearly all of the prompt. */
  typingOn: Latency;
  /** The first keystroke at another place of the file. */
  firstKeystroke: Latency;
  /** As `typingOn`, and the server runs every prompt in full. */
  withoutReuse: Latency;
  typing: {
    keystrokes: number;
    seconds: number;
    generations: number;
    fromRecent: number;
    mostInFlight: number;
    mostOnServer: number;
    shownAfterCancel: number;
    /** Of one core. */
    serverShare: number;
    editorShare: number;
    serverShareAfter: number;
    editorShareAfter: number;
  };
}

/** Characters typed before the keystroke that is measured. */
const typedBefore = 4;
const openFiles = 6;

export async function measureCompletion(options: CompletionBenchOptions): Promise<CompletionBench> {
  const files = readCode(options.code, options.root);
  const server = await startServer(options);
  try {
    const client = await ServerClient.connect(server.address, { client: 'bench', version: '0' });
    const { memory } = await client.request('model/load', { model: options.model, device: 'cpu' });
    const contextLength = memory?.contextLength ?? 2048;
    const bench = new Bench(client, files, contextLength, server.pid);
    await bench.latency(10); // warms up
    const latency = await bench.latency(options.positions);
    const typing = await bench.typing(options.keystrokes, options.perSecond);
    await client.close();
    return { ...latency, typing };
  } finally {
    await server.stop();
  }
}

type Kind = 'typingOn' | 'firstKeystroke' | 'withoutReuse';

/** The times of one kind of keystroke. */
class Latencies {
  private readonly times: number[] = [];
  private asked = 0;
  private readonly prompt = { cached: 0, all: 0 };

  get shown(): number {
    return this.times.length;
  }

  add(milliseconds: number, shown: boolean, prompt: { cached: number; all: number }): void {
    this.asked++;
    if (!shown) return;
    this.times.push(milliseconds);
    this.prompt.cached += prompt.cached;
    this.prompt.all += prompt.all;
  }

  summary(): Latency {
    const sorted = [...this.times].sort((a, b) => a - b);
    const at = (share: number): number =>
      sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
    const { asked, shown, prompt } = this;
    return {
      p50: at(0.5),
      p95: at(0.95),
      shown,
      asked,
      cachedShare: prompt.cached / Math.max(1, prompt.all),
    };
  }
}

class Bench {
  private inFlight = 0;
  private mostInFlight = 0;
  private generations = 0;
  private prompt = { cached: 0, all: 0 };
  private reuseCache = true;

  constructor(
    private readonly client: ServerClient,
    private readonly files: readonly CodeFile[],
    private readonly contextLength: number,
    private readonly serverProcess: number,
  ) {}

  /**
   * Keystrokes at random places, the same ones in every run; at each place all kinds one after the other, so that
   * other work on the machine takes from all alike. The place is left and new before its first keystroke.
   */
  async latency(positions: number): Promise<Pick<CompletionBench, Kind>> {
    const random = generator(7);
    const kinds = {
      typingOn: new Latencies(),
      firstKeystroke: new Latencies(),
      withoutReuse: new Latencies(),
    };
    for (let tries = 0; kinds.typingOn.shown < positions && tries < positions * 20; tries++) {
      const file = this.files[Math.floor(random() * this.files.length)];
      const offset = file === undefined ? undefined : placeIn(file.text, random);
      if (file === undefined || offset === undefined) continue;
      const completer = this.completer(file, { debounceMs: 0, prefetch: false });
      const measure = async (kind: Kind, at: number): Promise<void> => {
        // Nothing is to come from the recent results.
        completer.forget();
        this.prompt = { cached: 0, all: 0 };
        const started = performance.now();
        const [text] = await this.ask(completer, file, at);
        kinds[kind].add(performance.now() - started, text !== undefined, this.prompt);
      };
      this.reuseCache = true;
      await measure('firstKeystroke', offset - typedBefore);
      for (let back = typedBefore - 1; back > 0; back--) await this.ask(completer, file, offset - back);
      await measure('typingOn', offset);
      this.reuseCache = false;
      await measure('withoutReuse', offset);
      completer.dispose();
    }
    this.reuseCache = true;
    const { typingOn, firstKeystroke, withoutReuse } = kinds;
    return {
      typingOn: typingOn.summary(),
      firstKeystroke: firstKeystroke.summary(),
      withoutReuse: withoutReuse.summary(),
    };
  }

  /** Types a part of a file, key by key, as VS Code would ask: each keystroke cancels the question before. */
  async typing(keystrokes: number, perSecond: number): Promise<CompletionBench['typing']> {
    this.reuseCache = true;
    this.generations = 0;
    this.mostInFlight = 0;
    const file = this.files.find(({ text }) => text.length > keystrokes + 4000) ?? this.files[0];
    if (file === undefined) throw new Error('There is no file to type.');
    const completer = this.completer(file, {});
    let mostOnServer = 0;
    await this.client.request('subscribe', { topics: ['model'] });
    this.client.onNotification('model/changed', ({ active, queued }) => {
      mostOnServer = Math.max(mostOnServer, active + queued);
    });
    let shownAfterCancel = 0;
    let fromRecent = 0;
    let last = new AbortController();
    const start = Math.min(2000, Math.floor(file.text.length / 3));
    const before = this.usage();
    const begun = performance.now();
    const random = generator(11);
    for (let key = 1; key <= keystrokes; key++) {
      // Nobody types to a beat: half of an interval earlier or later, at most.
      const due = ((key + random() - 0.5) * 1000) / perSecond;
      await sleep(Math.max(0, begun + due - performance.now()));
      last.abort();
      const controller = new AbortController();
      last = controller;
      const cursor = this.cursor(file, start + key, file.text.length);
      completer.changed(cursor);
      const generations = this.generations;
      void completer.complete(question(cursor, controller.signal)).then((texts) => {
        if (texts.length === 0) return;
        if (controller.signal.aborted) shownAfterCancel++;
        else if (this.generations === generations) fromRecent++;
      });
    }
    await sleep(1000 / perSecond);
    const seconds = (performance.now() - begun) / 1000;
    const during = this.usage();
    // The user goes away: what may still run has a second to end.
    last.abort();
    await sleep(1000);
    const calm = this.usage();
    await sleep(2000);
    const after = this.usage();
    completer.dispose();
    const share = (from: Usage, to: Usage, wall: number) => ({
      server: (to.server - from.server) / wall,
      editor: (to.editor - from.editor) / wall,
    });
    const typing = share(before, during, seconds);
    const idle = share(calm, after, 2);
    return {
      ...{ keystrokes, seconds, generations: this.generations, fromRecent, mostInFlight: this.mostInFlight },
      ...{ mostOnServer, shownAfterCancel, serverShare: typing.server, editorShare: typing.editor },
      ...{ serverShareAfter: idle.server, editorShareAfter: idle.editor },
    };
  }

  /** A window of the editor with the file and some others of the same place open. */
  private completer(file: CodeFile, change: Partial<CompleterSettings>): Completer {
    const recent = new RecentDocuments();
    const folder = file.path.slice(0, file.path.lastIndexOf('/') + 1);
    for (const other of this.files.filter(({ path }) => path.startsWith(folder)).slice(0, openFiles)) {
      const { path, text } = other;
      recent.touch({ document: path, path, language: 'typescript', version: 1, text: () => text });
    }
    const head = (): string => file.text.slice(0, 5000);
    const none = () => Promise.resolve(undefined);
    const related = new RelatedContext({ recent, head, findDefinition: none });
    return new Completer({
      settings: () => ({
        ...{ debounceMs: 75, maxTokens: 64, inComments: true, timeBudgetMs: 400, prefetch: true },
        ...{ alternatives: 1, ...change },
      }),
      ready: () => Promise.resolve(),
      generate: async (request, onText, signal) => {
        this.generations++;
        this.mostInFlight = Math.max(this.mostInFlight, ++this.inFlight);
        try {
          const { reuseCache } = this;
          const answer = await this.client.complete({ ...request, reuseCache }, onText, signal);
          this.prompt.cached += answer.timings.cachedTokens;
          this.prompt.all += answer.timings.promptTokens;
          return answer;
        } finally {
          this.inFlight--;
        }
      },
      related: (cursor) => related.snippets(cursor, this.contextLength),
      began: () => () => {},
    });
  }

  private ask(completer: Completer, file: CodeFile, offset: number): Promise<string[]> {
    // What follows on the line is not written yet.
    const lineEnd = file.text.indexOf('\n', offset);
    const cursor = this.cursor(file, offset, lineEnd < 0 ? file.text.length : lineEnd);
    return completer.complete(question(cursor, new AbortController().signal));
  }

  private cursor({ path, text }: CodeFile, offset: number, goesOnAt: number): Cursor {
    const limits = windowLimits(this.contextLength);
    const start = windowStart(offset, limits.before);
    return {
      ...{ document: path, path, language: 'typescript', offset },
      line: text.slice(0, offset).split('\n').length - 1,
      before: fromWholeLine(text.slice(start, offset), start > 0),
      after: text.slice(goesOnAt, goesOnAt + limits.after),
    };
  }

  /** CPU seconds used so far. */
  private usage(): Usage {
    const { user, system } = process.cpuUsage();
    return { server: processorSeconds(this.serverProcess), editor: (user + system) / 1e6 };
  }
}

interface Usage {
  server: number;
  editor: number;
}

function question(cursor: Cursor, signal: AbortSignal): Parameters<Completer['complete']>[0] {
  return { cursor, asked: false, on: true, selecting: false, suggesting: false, signal };
}

/** CPU seconds of another process; 0 where the system does not say. */
function processorSeconds(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return 0;
  }
}

/** A place in a line with code where somebody may have stopped typing: not inside a word, nor behind a statement. */
function placeIn(text: string, random: () => number): number | undefined {
  const offset = 500 + Math.floor(random() * (text.length - 1000));
  const before = text.slice(text.lastIndexOf('\n', offset - 1) + 1, offset);
  const around = text.slice(offset - 1, offset + 1);
  const fits = before.trim().length > typedBefore + 2 && !/[\w$]{2}/.test(around) && !/[;}]\s*$/.test(before);
  return fits ? offset : undefined;
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

async function startServer({ root, folder, threads }: CompletionBenchOptions) {
  const args = [join(root, 'dist', 'onebit.mjs'), 'serve', '--threads', String(threads), '--device', 'cpu'];
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, ONEBIT_STATE: folder },
  });
  for (let turn = 0; turn < 1500; turn++) {
    const address = await readServerFile(folder);
    if (address !== undefined && address.pid === child.pid) {
      return { address, pid: address.pid, stop: () => ended(child) };
    }
    await sleep(20);
  }
  child.kill();
  throw new Error('The server did not start.');
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill('SIGTERM');
  });
}

/** The report's rows. */
export function completionTable({ typingOn, firstKeystroke, withoutReuse, typing }: CompletionBench): string {
  const row = (name: string, { p50, p95, shown, asked, cachedShare }: Latency): string =>
    `| ${name} | ${p50.toFixed(0)} | ${p95.toFixed(0)} | ${(100 * cachedShare).toFixed(0)}% | ${shown} of ${asked} |`;
  const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;
  return [
    '| keystroke to ghost text, beyond the debounce | p50 ms | p95 ms | of the prompt cached | shown |',
    '|---|---|---|---|---|',
    row('typing on', typingOn),
    row('first keystroke at a place', firstKeystroke),
    row('typing on, KV reuse off', withoutReuse),
    '',
    `${typing.keystrokes} keystrokes in ${typing.seconds.toFixed(0)} s: ${typing.generations} generations, ` +
      `${typing.fromRecent} times ghost text without one; at most ${typing.mostInFlight} in flight ` +
      `(${typing.mostOnServer} on the server); ghost text after a cancel: ${typing.shownAfterCancel}; ` +
      `CPU while typing ${percent(typing.serverShare)} of a core for the server and ${percent(typing.editorShare)} for the ` +
      `editor's side; from one second after: ${percent(typing.serverShareAfter)} and ${percent(typing.editorShareAfter)}.`,
  ].join('\n');
}
