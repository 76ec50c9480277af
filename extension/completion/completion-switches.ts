import * as vscode from 'vscode';
import type { Ending } from '../panel/panel-link.ts';
import { completesLanguage, section } from '../settings.ts';
import type { FilesLeftOut } from './files-left-out.ts';

/** What has switched completions off for a document. */
export type Off = 'everywhere' | 'language' | 'file';

const settings = ['completion.enabled', 'completion.languages'].map((name) => `${section}.${name}`);

/**
 * Where completions are on: everywhere or not, by language (both are settings), and by file. Any window may switch;
 * all others follow.
 */
export class CompletionSwitches implements vscode.Disposable {
  private readonly listeners = new Set<() => void>();
  private readonly endings: vscode.Disposable;

  constructor(private readonly files: FilesLeftOut) {
    const changed = (): void => {
      for (const listener of [...this.listeners]) listener();
    };
    this.endings = vscode.Disposable.from(
      files.onDidChange(changed),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (settings.some((name) => event.affectsConfiguration(name))) changed();
      }),
    );
  }

  /** Why there are no completions in a document, or, without one, at all; undefined where they are on. */
  off(document: vscode.TextDocument | undefined): Off | undefined {
    const everywhere = vscode.workspace.getConfiguration(section).get('completion.enabled', true);
    if (!everywhere) return 'everywhere';
    if (document === undefined) return undefined;
    const here = vscode.workspace.getConfiguration(section, document);
    const { languageId, uri } = document;
    const listed = completesLanguage(here.get<string[]>('completion.languages', ['*']), languageId);
    if (!listed || !here.get('completion.enabled', true)) return 'language';
    return this.files.has(uri.toString()) ? 'file' : undefined;
  }

  onDidChange(listener: () => void): Ending {
    this.listeners.add(listener);
    return { dispose: () => this.listeners.delete(listener) };
  }

  /** Turns completions on where they are off, by whatever has switched them off here; otherwise off everywhere. */
  async toggle(document: vscode.TextDocument | undefined): Promise<void> {
    const off = this.off(document);
    if (off === 'file' && document !== undefined) this.toggleFile(document);
    else if (off === 'language' && document !== undefined) await this.toggleLanguage(document);
    else await write('completion.enabled', off === 'everywhere');
  }

  /** For the document's language, in the settings' `[language]` section. */
  async toggleLanguage(document: vscode.TextDocument): Promise<void> {
    const scope = { uri: document.uri, languageId: document.languageId };
    const configuration = vscode.workspace.getConfiguration(section, scope);
    const listed = configuration.get<string[]>('completion.languages', ['*']);
    if (!completesLanguage(listed, document.languageId)) {
      await write('completion.languages', [...listed, document.languageId]);
      if (configuration.get('completion.enabled', true)) return;
    }
    await write('completion.enabled', !configuration.get('completion.enabled', true), scope);
  }

  /** On the disk when it returns, whatever becomes of the window next. */
  toggleFile(document: vscode.TextDocument): void {
    this.files.toggle(document.uri.toString());
  }

  dispose(): void {
    this.endings.dispose();
    this.listeners.clear();
  }
}

/** Writes a setting where it has a value already: in the workspace, otherwise for the user. */
async function write(
  name: string,
  value: unknown,
  scope?: { uri: vscode.Uri; languageId: string },
): Promise<void> {
  const configuration = vscode.workspace.getConfiguration(section, scope);
  const inspected = configuration.inspect(name);
  const own = scope === undefined ? inspected?.workspaceValue : inspected?.workspaceLanguageValue;
  const target = own === undefined ? vscode.ConfigurationTarget.Global : vscode.ConfigurationTarget.Workspace;
  await configuration.update(name, value, target, scope !== undefined);
}
