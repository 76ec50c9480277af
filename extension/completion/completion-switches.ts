import * as vscode from 'vscode';
import type { Ending } from '../panel/panel-link.ts';
import { completesLanguage, section } from '../settings.ts';

/** What has switched completions off for a document. */
export type Off = 'everywhere' | 'language' | 'file';

const storageKey = 'completionsOffInFiles';
const filesKept = 500;

/**
 * Where completions are on: everywhere or not, by language (both are settings), and by file, which is kept with the
 * workspace.
 */
export class CompletionSwitches {
  private readonly listeners = new Set<() => void>();

  constructor(private readonly storage: vscode.Memento) {}

  /** Why there are no completions in a document, or, without one, at all; undefined where they are on. */
  off(document: vscode.TextDocument | undefined): Off | undefined {
    const everywhere = vscode.workspace.getConfiguration(section).get('completion.enabled', true);
    if (!everywhere) return 'everywhere';
    if (document === undefined) return undefined;
    const here = vscode.workspace.getConfiguration(section, document);
    const { languageId, uri } = document;
    const listed = completesLanguage(here.get<string[]>('completion.languages', ['*']), languageId);
    if (!listed || !here.get('completion.enabled', true)) return 'language';
    return this.files().includes(uri.toString()) ? 'file' : undefined;
  }

  onDidChange(listener: () => void): Ending {
    this.listeners.add(listener);
    return { dispose: () => this.listeners.delete(listener) };
  }

  /** Turns completions on where they are off, by whatever has switched them off here; otherwise off everywhere. */
  async toggle(document: vscode.TextDocument | undefined): Promise<void> {
    const off = this.off(document);
    if (off === 'file' && document !== undefined) await this.toggleFile(document);
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

  async toggleFile(document: vscode.TextDocument): Promise<void> {
    const file = document.uri.toString();
    const files = this.files();
    const others = files.filter((each) => each !== file);
    const kept = others.length < files.length ? others : [...files, file].slice(-filesKept);
    await this.storage.update(storageKey, kept);
    for (const listener of [...this.listeners]) listener();
  }

  private files(): readonly string[] {
    return this.storage.get<string[]>(storageKey, []);
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
