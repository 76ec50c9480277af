import * as vscode from 'vscode';
import { asOneBitError } from '../../server/protocol/error.ts';
import type { ModelLoader } from '../server-link/model-loader.ts';
import type { ServerLink } from '../server-link/server-link.ts';
import type { ServerWatch } from '../server-link/server-watch.ts';
import { readSettings } from '../settings.ts';
import type { CompletionActivity } from './activity.ts';
import { Completer } from './completer.ts';
import type { CompletionSwitches } from './completion-switches.ts';
import { findDefinition } from './context/find-definition.ts';
import { RecentDocuments } from './context/recent-documents.ts';
import { RelatedContext } from './context/related-context.ts';
import { watchDocuments } from './context/watch-documents.ts';
import type { Cursor } from './cursor.ts';
import { readCursor } from './read-cursor.ts';

/** Tokens of context to fill while the model's own length is not known yet. */
const assumedContext = 2048;
/** Lines at a document's beginning in which imports are looked for. */
const headLines = 200;

/**
 * Ghost text: what VS Code asks, and the pipeline's answer. Failures never pop up; the status bar shows them. Accepting
 * a word, a line or all, and going from one alternative to the next, are VS Code's own commands and keys.
 */
export class OneBitInlineProvider implements vscode.InlineCompletionItemProvider, vscode.Disposable {
  private readonly completer: Completer;
  private readonly endings: vscode.Disposable;
  private readonly related: RelatedContext;

  constructor(
    private readonly link: ServerLink,
    private readonly watch: ServerWatch,
    private readonly models: ModelLoader,
    private readonly switches: CompletionSwitches,
    private readonly activity: CompletionActivity,
    private readonly log: vscode.LogOutputChannel,
  ) {
    const recent = new RecentDocuments();
    this.related = new RelatedContext({ recent, findDefinition, head: headOf });
    this.completer = new Completer({
      settings: () => readSettings().completion,
      ready: (asked) => this.ready(asked),
      generate: (request, onText, signal) => this.link.complete(request, onText, signal),
      related: (cursor) =>
        readSettings().completion.relatedFiles
          ? this.related.snippets(cursor, this.contextLength)
          : Promise.resolve([]),
      began: () => this.began(),
    });
    let model = this.watch.model?.model?.path;
    const watching = this.watch.onDidChange(() => {
      const now = this.watch.model?.model?.path;
      if (now !== undefined && model !== undefined && now !== model) this.completer.forget();
      model = now ?? model;
    });
    const switching = this.switches.onDidChange(() => this.switched());
    this.endings = vscode.Disposable.from(
      watching,
      switching,
      watchDocuments(recent, (document) => {
        this.related.forget(document);
        if (this.completer.runsFor(document)) this.completer.cancel();
      }),
      vscode.workspace.onDidChangeTextDocument(({ document, contentChanges: [change, ...more] }) => {
        if (change === undefined || !this.completer.runsFor(document.uri.toString())) return;
        if (more.length > 0) return this.completer.cancel();
        // Of a bracket that the editor closes by itself, the first character was typed.
        const typed = /^[([{"'`][)\]}"'`]$/.test(change.text) ? 1 : change.text.length;
        this.completer.changed(this.read(document, document.positionAt(change.rangeOffset + typed)));
      }),
      vscode.window.onDidChangeActiveTextEditor((editor) => {
        if (editor !== undefined && !this.completer.runsFor(editor.document.uri.toString()))
          this.completer.cancel();
      }),
    );
  }

  async provideInlineCompletionItems(
    document: vscode.TextDocument,
    position: vscode.Position,
    context: vscode.InlineCompletionContext,
    token: vscode.CancellationToken,
  ): Promise<vscode.InlineCompletionItem[]> {
    const cancelled = new AbortController();
    const cancellation = token.onCancellationRequested(() => cancelled.abort());
    if (token.isCancellationRequested) cancelled.abort();
    try {
      const texts = await this.completer.complete({
        cursor: this.read(document, position),
        asked: context.triggerKind === vscode.InlineCompletionTriggerKind.Invoke,
        on: this.switches.off(document) === undefined,
        selecting: isSelecting(document, position),
        suggesting: context.selectedCompletionInfo !== undefined,
        signal: cancelled.signal,
      });
      if (texts.length > 0) this.activity.given();
      const range = new vscode.Range(position, position);
      return texts.map((text) => new vscode.InlineCompletionItem(text, range));
    } finally {
      cancellation.dispose();
    }
  }

  dispose(): void {
    this.endings.dispose();
    this.completer.dispose();
  }

  private get contextLength(): number {
    return this.watch.model?.memory?.contextLength ?? assumedContext;
  }

  private read(document: vscode.TextDocument, position: vscode.Position): Cursor {
    return readCursor(document, position, this.contextLength);
  }

  /** Nothing runs on, and nothing stays on the screen, where completions have been switched off in any window. */
  private switched(): void {
    const document = vscode.window.activeTextEditor?.document;
    if (this.switches.off(document) === undefined) return;
    this.completer.cancel();
    void vscode.commands.executeCommand('editor.action.inlineSuggest.hide');
  }

  private async ready(asked: boolean): Promise<void> {
    if (this.link.state.state === 'connected' && this.watch.model?.state === 'ready') return;
    this.activity.began();
    try {
      await this.link.connect({ asked });
      await this.models.ensureLoaded();
      this.activity.ended('cancelled');
    } catch (error) {
      this.failed(error);
      throw error;
    }
  }

  /** Takes note of a generation; the function that is returned, of its end. */
  private began(): ReturnType<ConstructorParameters<typeof Completer>[0]['began']> {
    const started = performance.now();
    this.activity.began();
    return (failure, timings) => {
      if (failure === 'cancelled') return this.activity.ended('cancelled');
      if (failure !== undefined) return this.failed(failure);
      if (timings !== undefined) {
        this.log.debug(
          `Completion in ${Math.round(performance.now() - started)} ms: ${timings.completionTokens} tokens, ` +
            `${timings.cachedTokens} of ${timings.promptTokens} prompt tokens cached`,
        );
      }
      this.activity.ended(undefined);
    };
  }

  private failed(caught: unknown): void {
    const error = asOneBitError(caught);
    const shown = error.code !== 'cancelled' && this.link.state.state === 'connected';
    if (error.code !== 'cancelled') this.log.warn(`No completion: ${error.message}`);
    this.activity.ended(shown ? { message: error.message } : 'cancelled');
  }
}

/** More than one cursor, or something selected, where the completion is asked for. */
function isSelecting(document: vscode.TextDocument, position: vscode.Position): boolean {
  const editor = vscode.window.activeTextEditor;
  if (editor?.document !== document) return false;
  if (editor.selections.length > 1) return true;
  return !editor.selection.isEmpty && editor.selection.active.isEqual(position);
}

function headOf(document: string): string {
  const open = vscode.workspace.textDocuments.find(({ uri }) => uri.toString() === document);
  if (open === undefined) return '';
  const end = Math.min(headLines, open.lineCount);
  return open.getText(new vscode.Range(0, 0, end, 0)).replaceAll('\r\n', '\n');
}
