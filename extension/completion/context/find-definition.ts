import * as vscode from 'vscode';
import type { FindDefinition } from './related-context.ts';

/** Lines of a definition that are shown, at most. */
const longestDefinition = 16;
const largestFile = 500_000;

/**
 * Asks VS Code's definition provider for an imported symbol and reads what stands there. Files are read, not opened:
 * opening a document would wake every language extension.
 */
export const findDefinition: FindDefinition = async (document, { line, character }, signal) => {
  const uri = vscode.Uri.parse(document);
  const found = await vscode.commands.executeCommand<(vscode.Location | vscode.LocationLink)[] | undefined>(
    'vscode.executeDefinitionProvider',
    uri,
    new vscode.Position(line, character),
  );
  for (const place of found ?? []) {
    if (signal.aborted) return undefined;
    const target = 'targetUri' in place ? place.targetUri : place.uri;
    const range = 'targetUri' in place ? place.targetRange : place.range;
    if (target.toString() === document) continue;
    const lines = (await textOf(target))?.split(/\r?\n/);
    if (lines === undefined) continue;
    const last = Math.max(range.start.line + longestDefinition, 0);
    const end = range.end.line > range.start.line ? Math.min(range.end.line + 1, last) : last;
    const text = lines.slice(range.start.line, end).join('\n').trimEnd();
    if (text !== '') return { path: vscode.workspace.asRelativePath(target), text };
  }
  return undefined;
};

/** The text of a file as the editor has it, or from the disk; undefined where it is large. */
async function textOf(uri: vscode.Uri): Promise<string | undefined> {
  const open = vscode.workspace.textDocuments.find((each) => each.uri.toString() === uri.toString());
  if (open !== undefined) return open.getText();
  const { size } = await vscode.workspace.fs.stat(uri);
  if (size > largestFile) return undefined;
  return new TextDecoder().decode(await vscode.workspace.fs.readFile(uri));
}
