import * as vscode from 'vscode';
import { asOneBitError } from '../../server/protocol/error.ts';
import type { ModelLoader } from '../server-link/model-loader.ts';
import type { ServerLink } from '../server-link/server-link.ts';
import type { ServerWatch } from '../server-link/server-watch.ts';
import { completesLanguage, readSettings } from '../settings.ts';
import type { CompletionActivity } from './activity.ts';
import { restOf, type Answer } from './last-answer.ts';
import { asksOneLine, worthCompleting } from './line-choice.ts';
import { Debounce, pause } from './pause.ts';
import { fromWholeLine, prefixStart, windowLimits } from './prompt-window.ts';
import { splitTrailingSpace, withoutLeadingSpace } from './trailing-space.ts';
import { trimCompletion, type CursorSurroundings } from './trim-completion.ts';

/** Tokens of context to fill while the model's own length is not known yet. */
const assumedContext = 2048;
const linesBelowRead = 8;

/**
 * Ghost text. One request at a time for each document: a newer one, a keystroke that VS Code reports by its
 * token, or closing the document cancels the older one on the server. Failures never pop up; the status bar
 * shows them.
 */
export class OneBitInlineProvider implements vscode.InlineCompletionItemProvider, vscode.Disposable {
  private readonly inFlight = new Map<string, AbortController>();
  private readonly debounce = new Debounce();
  private lastAnswer: Answer | undefined;
  private readonly closing = vscode.workspace.onDidCloseTextDocument((document) => {
    this.inFlight.get(document.uri.toString())?.abort();
  });

  constructor(
    private readonly link: ServerLink,
    private readonly watch: ServerWatch,
    private readonly models: ModelLoader,
    private readonly activity: CompletionActivity,
    private readonly log: vscode.LogOutputChannel,
  ) {}

  async provideInlineCompletionItems(
    document: vscode.TextDocument,
    position: vscode.Position,
    context: vscode.InlineCompletionContext,
    token: vscode.CancellationToken,
  ): Promise<vscode.InlineCompletionItem[] | undefined> {
    const settings = readSettings().completion;
    if (!settings.enabled || !completesLanguage(settings.languages, document.languageId)) return undefined;
    const asked = context.triggerKind === vscode.InlineCompletionTriggerKind.Invoke;
    // While the suggest widget has something selected, ghost text would fight with it.
    if (context.selectedCompletionInfo !== undefined && !asked) return undefined;

    const around = surroundings(document, position);
    if (!worthCompleting(around.lineBefore, around.lineAfter, asked)) return undefined;
    const offset = document.offsetAt(position);
    const key = document.uri.toString();
    const here = { document: key, offset, lineBefore: around.lineBefore, lineAfter: around.lineAfter };
    const rest = restOf(this.lastAnswer, here);
    if (rest !== undefined) return [item(rest, position)];

    this.inFlight.get(key)?.abort();
    const controller = new AbortController();
    this.inFlight.set(key, controller);
    const cancellation = token.onCancellationRequested(() => controller.abort());
    try {
      if (token.isCancellationRequested) return undefined;
      if (!asked && !(await pause(this.debounce.delay(settings.debounceMs), controller.signal))) {
        return undefined;
      }
      const singleLine = asksOneLine(around.lineBefore, around.lineAfter);
      const text = await this.ask(document, offset, settings.maxTokens, singleLine, asked, controller.signal);
      if (text === undefined || controller.signal.aborted) return undefined;
      const trimmed = trimCompletion(text, around, singleLine);
      if (trimmed === undefined) return undefined;
      this.lastAnswer = { ...here, text: trimmed };
      return [item(trimmed, position)];
    } finally {
      cancellation.dispose();
      if (this.inFlight.get(key) === controller) this.inFlight.delete(key);
    }
  }

  dispose(): void {
    this.closing.dispose();
    for (const controller of this.inFlight.values()) controller.abort();
  }

  /** The model's text, or undefined when cancelled or failed. */
  private async ask(
    document: vscode.TextDocument,
    offset: number,
    maxTokens: number,
    singleLine: boolean,
    asked: boolean,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    this.activity.began();
    let outcome: { message: string } | 'cancelled' | undefined = 'cancelled';
    try {
      await this.link.connect({ asked });
      await this.models.ensureLoaded();
      if (signal.aborted) return undefined;
      const started = performance.now();
      const around = this.textAround(document, offset);
      const { prefix, space } = splitTrailingSpace(around.prefix);
      const result = await this.link.complete(
        {
          prefix,
          suffix: around.suffix.trim() === '' ? '' : around.suffix,
          language: document.languageId,
          path: vscode.workspace.asRelativePath(document.uri),
          maxTokens,
          singleLine,
        },
        signal,
      );
      if (signal.aborted || result.finishReason === 'cancelled') return undefined;
      const took = performance.now() - started;
      this.debounce.answered(took);
      this.log.debug(
        `Completion in ${Math.round(took)} ms: ${result.timings.completionTokens} tokens, ` +
          `${result.timings.cachedTokens} of ${result.timings.promptTokens} prompt tokens cached, ` +
          `${result.finishReason}`,
      );
      outcome = undefined;
      return withoutLeadingSpace(result.text, space);
    } catch (caught) {
      const error = asOneBitError(caught);
      if (error.code !== 'cancelled') {
        outcome = this.link.state.state === 'connected' ? { message: error.message } : 'cancelled';
        this.log.warn(`No completion: ${error.message}`);
      }
      return undefined;
    } finally {
      this.activity.ended(outcome);
    }
  }

  private textAround(document: vscode.TextDocument, offset: number): { prefix: string; suffix: string } {
    const limits = windowLimits(this.watch.model?.memory?.contextLength ?? assumedContext);
    const text = (from: number, to: number): string =>
      document.getText(new vscode.Range(document.positionAt(from), document.positionAt(to)));
    const start = prefixStart(offset, limits.prefix);
    return {
      prefix: fromWholeLine(text(start, offset), start > 0).replaceAll('\r\n', '\n'),
      suffix: text(offset, offset + limits.suffix).replaceAll('\r\n', '\n'),
    };
  }
}

function item(text: string, position: vscode.Position): vscode.InlineCompletionItem {
  return new vscode.InlineCompletionItem(text, new vscode.Range(position, position));
}

function surroundings(document: vscode.TextDocument, position: vscode.Position): CursorSurroundings {
  const line = document.lineAt(position.line).text;
  const linesBelow: string[] = [];
  const last = Math.min(document.lineCount - 1, position.line + linesBelowRead);
  for (let index = position.line + 1; index <= last; index++) linesBelow.push(document.lineAt(index).text);
  return {
    lineBefore: line.slice(0, position.character),
    lineAfter: line.slice(position.character),
    linesBelow,
  };
}
