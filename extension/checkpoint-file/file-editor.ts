import { randomBytes } from 'node:crypto';
import { dirname } from 'node:path';
import * as vscode from 'vscode';
import type { FromFilePage } from '../../server/protocol/checkpoint-file-page.ts';
import { panelHtml } from '../panel/panel-html.ts';
import type { PanelLink } from '../panel/panel-link.ts';
import type { OpenFolders } from '../server-link/open-folders.ts';
import { FileSession } from './file-session.ts';

const viewType = 'onebit.checkpointFile';

/** The read-only editor of .safetensors and .gguf files. The server reads them; a file that is opened counts as chosen. */
export class CheckpointFileEditor implements vscode.CustomReadonlyEditorProvider {
  /** @param inspect shows the layers of the model in a folder */
  static register(
    context: vscode.ExtensionContext,
    link: PanelLink,
    folders: OpenFolders,
    inspect: (folder: string) => void,
  ): vscode.Disposable {
    const provider = new CheckpointFileEditor(context.extensionUri, link, folders, inspect);
    return vscode.window.registerCustomEditorProvider(viewType, provider, {
      supportsMultipleEditorsPerDocument: true,
    });
  }

  private constructor(
    private readonly extension: vscode.Uri,
    private readonly link: PanelLink,
    private readonly folders: OpenFolders,
    private readonly inspect: (folder: string) => void,
  ) {}

  openCustomDocument(uri: vscode.Uri): vscode.CustomDocument {
    return { uri, dispose: () => {} };
  }

  async resolveCustomEditor({ uri }: vscode.CustomDocument, panel: vscode.WebviewPanel): Promise<void> {
    const { webview } = panel;
    if (uri.scheme !== 'file') {
      throw new Error('OneBit shows files that lie on a disk of this machine: copy this one there first.');
    }
    const path = uri.fsPath;
    const folder = dirname(path);
    const session = new FileSession(
      path,
      this.link,
      this.folders.choose([path]),
      (message) => void webview.postMessage(message),
      {
        quantize: () => void vscode.commands.executeCommand('onebit.quantize', vscode.Uri.file(folder)),
        // Its layers are those of the whole model: config.json and other shards lie beside the file.
        inspect: () => void this.folders.choose([folder]).then(() => this.inspect(folder)),
        showLog: () => void vscode.commands.executeCommand('onebit.showLog'),
      },
    );
    const received = webview.onDidReceiveMessage((message: FromFilePage) => session.receive(message));
    panel.onDidDispose(() => {
      received.dispose();
      session.dispose();
    });
    const dist = vscode.Uri.joinPath(this.extension, 'dist');
    webview.options = { enableScripts: true, localResourceRoots: [dist] };
    webview.html = panelHtml({
      script: webview.asWebviewUri(vscode.Uri.joinPath(dist, 'checkpoint-file.js')).toString(),
      style: webview.asWebviewUri(vscode.Uri.joinPath(dist, 'checkpoint-file.css')).toString(),
      cspSource: webview.cspSource,
      nonce: randomBytes(16).toString('base64url'),
    });
  }
}
