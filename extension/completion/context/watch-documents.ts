import * as vscode from 'vscode';
import type { RecentDocuments } from './recent-documents.ts';

/** Documents that people write: no output channels, no commit messages. */
export const completedSchemes: readonly string[] = ['file', 'untitled', 'vscode-notebook-cell'];

/** Keeps the list of documents by what is opened, looked at, edited and closed. */
export function watchDocuments(
  recent: RecentDocuments,
  onClose: (document: string) => void,
): vscode.Disposable {
  const touch = (document: vscode.TextDocument | undefined): void => {
    if (document === undefined || !completedSchemes.includes(document.uri.scheme)) return;
    recent.touch({
      document: document.uri.toString(),
      path: vscode.workspace.asRelativePath(document.uri),
      language: document.languageId,
      get version() {
        return document.version;
      },
      text: () => document.getText(),
    });
  };
  for (const editor of vscode.window.visibleTextEditors) touch(editor.document);
  touch(vscode.window.activeTextEditor?.document);
  return vscode.Disposable.from(
    vscode.window.onDidChangeActiveTextEditor((editor) => touch(editor?.document)),
    vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
      if (contentChanges.length > 0) touch(document);
    }),
    vscode.workspace.onDidCloseTextDocument((document) => {
      recent.remove(document.uri.toString());
      onClose(document.uri.toString());
    }),
  );
}
