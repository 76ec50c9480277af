import * as vscode from 'vscode';

/** Shows a folder where its user looks at files. */
export function openFolder(folder: string): void {
  const uri = vscode.Uri.file(folder);
  // There is no file manager to reveal it in where VS Code runs in a browser or on another machine.
  const local = vscode.env.uiKind === vscode.UIKind.Desktop && vscode.env.remoteName === undefined;
  if (local) void vscode.commands.executeCommand('revealFileInOS', uri);
  else void vscode.commands.executeCommand('vscode.openFolder', uri, { forceNewWindow: true });
}
