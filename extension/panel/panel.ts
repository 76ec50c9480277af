import { randomBytes } from 'node:crypto';
import { homedir } from 'node:os';
import * as vscode from 'vscode';
import type { FromPanel } from '../../server/protocol/panel.ts';
import { panelHtml } from './panel-html.ts';
import type { OpenFolders } from '../server-link/open-folders.ts';
import type { PanelLink } from './panel-link.ts';
import { type PanelActions, PanelSession } from './panel-session.ts';
import { chooseJobFolder } from '../views/choose-job-folder.ts';
import { openFolder } from '../views/open-folder.ts';
import { showReport } from '../views/show-report.ts';

const viewType = 'onebit.panel';

/** The panel in this window: at most one, put back by VS Code after a reload of the window. */
export class OneBitPanel implements vscode.Disposable {
  private static current: OneBitPanel | undefined;
  private readonly disposables: vscode.Disposable[] = [];
  private readonly session: PanelSession;

  /** Brings the panel to the front, making it if there is none. */
  static show(context: vscode.ExtensionContext, link: PanelLink, folders: OpenFolders): void {
    if (OneBitPanel.current !== undefined) {
      OneBitPanel.current.panel.reveal();
      return;
    }
    const panel = vscode.window.createWebviewPanel(viewType, 'OneBit', vscode.ViewColumn.Active);
    OneBitPanel.current = new OneBitPanel(context, link, folders, panel);
  }

  /** Brings the panel to the front and reads the layers of a model. */
  static showLayers(
    context: vscode.ExtensionContext,
    link: PanelLink,
    folders: OpenFolders,
    model: string,
  ): void {
    OneBitPanel.show(context, link, folders);
    OneBitPanel.current?.session.showLayers(model);
  }

  /** Lets VS Code restore the panel after a reload. Call it once, at activation. */
  static registerSerializer(
    context: vscode.ExtensionContext,
    link: PanelLink,
    folders: OpenFolders,
  ): vscode.Disposable {
    return vscode.window.registerWebviewPanelSerializer(viewType, {
      deserializeWebviewPanel: (panel) => {
        OneBitPanel.current?.panel.dispose();
        OneBitPanel.current = new OneBitPanel(context, link, folders, panel);
        return Promise.resolve();
      },
    });
  }

  private constructor(
    context: vscode.ExtensionContext,
    link: PanelLink,
    folders: OpenFolders,
    private readonly panel: vscode.WebviewPanel,
  ) {
    const { webview } = panel;
    const folder = vscode.Uri.joinPath(context.extensionUri, 'dist');
    const session = new PanelSession(
      link,
      (message) => void webview.postMessage(message),
      actionsWith(folders),
    );
    this.session = session;
    this.disposables.push(
      session,
      webview.onDidReceiveMessage((message: FromPanel) => session.receive(message)),
      // Showing needs nothing here: the page is loaded again then, and says that it is ready.
      panel.onDidChangeViewState(() => {
        if (!panel.visible) session.hide();
      }),
      panel.onDidDispose(() => this.dispose()),
    );
    context.subscriptions.push(this);
    webview.options = { enableScripts: true, localResourceRoots: [folder] };
    webview.html = panelHtml({
      script: webview.asWebviewUri(vscode.Uri.joinPath(folder, 'webview.js')).toString(),
      style: webview.asWebviewUri(vscode.Uri.joinPath(folder, 'webview.css')).toString(),
      cspSource: webview.cspSource,
      nonce: randomBytes(16).toString('base64url'),
    });
  }

  dispose(): void {
    if (OneBitPanel.current === this) OneBitPanel.current = undefined;
    for (const disposable of this.disposables.splice(0)) disposable.dispose();
  }
}

const command = (id: string) => () => void vscode.commands.executeCommand(id);

const actionsWith = (folders: OpenFolders): PanelActions => ({
  chooseModel: command('onebit.chooseModel'),
  quantize: command('onebit.quantize'),
  distill: command('onebit.distill'),
  evaluate: command('onebit.evaluate'),
  openReport: (folder) => void showReport(folder),
  showLog: command('onebit.showLog'),
  openFolder,
  chooseTeacher: () => chooseFolder(folders, 'Folder of the full-precision teacher'),
  chooseJobFolder: (refusal) => chooseJobFolder(folders, refusal),
  chooseOther: () => chooseFolder(folders, 'Folder of the other 1-bit checkpoint'),
  save: async ({ name, content }) => {
    // TensorBoard wants its file in a folder of the run's name.
    const base = vscode.workspace.workspaceFolders?.[0]?.uri ?? vscode.Uri.file(homedir());
    const uri = await vscode.window.showSaveDialog({ defaultUri: vscode.Uri.joinPath(base, name) });
    if (uri !== undefined) await vscode.workspace.fs.writeFile(uri, Buffer.from(content, 'base64'));
  },
  showError: (message) => void vscode.window.showErrorMessage(`OneBit: ${message}`),
});

/** Asks for a folder; what is chosen may be read from then on. */
async function chooseFolder(folders: OpenFolders, title: string): Promise<string | undefined> {
  const chosen = await vscode.window.showOpenDialog({
    canSelectFiles: false,
    canSelectFolders: true,
    title,
    openLabel: 'Compare',
  });
  const folder = chosen?.[0]?.fsPath;
  if (folder !== undefined) await folders.choose([folder]);
  return folder;
}
