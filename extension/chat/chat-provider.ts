import * as vscode from 'vscode';
import { asOneBitError } from '../../server/protocol/error.ts';
import type { ModelLoader } from '../server-link/model-loader.ts';
import type { ServerLink } from '../server-link/server-link.ts';
import type { ServerWatch } from '../server-link/server-watch.ts';
import { chatSampling, chatTurns } from './chat-messages.ts';
import { chatModel, offeredModel, type KnownChatModel, type OfferedModel } from './offered-model.ts';

/** `vendor` in package.json and for `vscode.lm.selectChatModels`. */
export const chatVendor = 'onebit';
const rememberedKey = 'onebit.chatModel';

/**
 * Offers the model that completes to VS Code's chat and to other extensions, if it has a chat template. Its server is
 * started by the first message, not by looking at the list of models. Failures are told to the chat that asked.
 */
export class OneBitChatProvider implements vscode.LanguageModelChatProvider<OfferedModel>, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChangeLanguageModelChatInformation = this.changed.event;
  private readonly watching: { dispose(): void };
  private offered: KnownChatModel | undefined;

  /** @param memory of all windows, since they share the server */
  constructor(
    private readonly link: ServerLink,
    private readonly watch: ServerWatch,
    private readonly models: ModelLoader,
    private readonly memory: vscode.Memento,
    private readonly log: vscode.LogOutputChannel,
  ) {
    this.offered = memory.get<KnownChatModel>(rememberedKey);
    this.watching = watch.onDidChange(() => this.update());
  }

  async provideLanguageModelChatInformation(
    { silent }: vscode.PrepareLanguageModelChatModelOptions,
    _token: vscode.CancellationToken,
  ): Promise<OfferedModel[]> {
    // Somebody looks for it, and nothing is known of it yet.
    if (!silent && this.offered === undefined) {
      await this.link.connect();
      await this.models.ensureLoaded();
      this.update();
    }
    return this.offered === undefined ? [] : [offeredModel(this.offered)];
  }

  async provideLanguageModelChatResponse(
    model: OfferedModel,
    messages: readonly vscode.LanguageModelChatRequestMessage[],
    options: vscode.ProvideLanguageModelChatResponseOptions,
    progress: vscode.Progress<vscode.LanguageModelResponsePart>,
    token: vscode.CancellationToken,
  ): Promise<void> {
    await this.asked(token, async (signal) => {
      const { timings } = await this.link.chat(
        { ...chatSampling(options.modelOptions), model: model.id, messages: chatTurns(messages) },
        (text) => progress.report(new vscode.LanguageModelTextPart(text)),
        signal,
      );
      this.log.debug(`Chat: ${timings.promptTokens} tokens of prompt, ${timings.completionTokens} answered`);
    });
  }

  /** Of a text its tokens; of a message as well what the chat template puts around it. */
  async provideTokenCount(
    _model: OfferedModel,
    text: string | vscode.LanguageModelChatRequestMessage,
    token: vscode.CancellationToken,
  ): Promise<number> {
    const count = await this.asked(token, async (signal) => {
      if (typeof text === 'string') return this.countText(text, signal);
      const turns = chatTurns([text]);
      try {
        return (await this.link.request('chat/count', { messages: turns }, signal)).tokens;
      } catch (error) {
        // Some templates refuse an assistant's message that answers nothing.
        if (asOneBitError(error).code !== 'bad-request') throw error;
        return this.countText(turns.map(({ content }) => content).join(''), signal);
      }
    });
    return count ?? 0;
  }

  dispose(): void {
    this.watching.dispose();
    this.changed.dispose();
  }

  private async countText(text: string, signal: AbortSignal): Promise<number> {
    return (await this.link.request('tokenize', { text }, signal)).ids.length;
  }

  /** @returns undefined where the chat was cancelled */
  private async asked<T>(
    token: vscode.CancellationToken,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    const controller = new AbortController();
    const cancellation = token.onCancellationRequested(() => controller.abort());
    if (token.isCancellationRequested) controller.abort();
    try {
      await this.link.connect();
      await this.models.ensureLoaded();
      return await work(controller.signal);
    } catch (caught) {
      const error = asOneBitError(caught);
      if (error.code === 'cancelled') return undefined;
      this.log.warn(`Chat: ${error.message}`);
      throw error.code === 'not-found' ? vscode.LanguageModelError.NotFound(error.message) : error;
    } finally {
      cancellation.dispose();
    }
  }

  private update(): void {
    const now = chatModel(this.watch.model, this.offered);
    if (JSON.stringify(now) === JSON.stringify(this.offered)) return;
    this.offered = now;
    void this.memory.update(rememberedKey, now);
    this.changed.fire();
  }
}
