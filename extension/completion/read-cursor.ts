import * as vscode from 'vscode';
import type { Cursor } from './cursor.ts';
import { fromWholeLine, windowLimits, windowStart } from './text-window.ts';

/** The text around a position, as much as a context of so many tokens may hold. */
export function readCursor(
  document: vscode.TextDocument,
  position: vscode.Position,
  contextLength: number,
): Cursor {
  const offset = document.offsetAt(position);
  const limits = windowLimits(contextLength);
  const text = (from: number, to: number): string =>
    document
      .getText(new vscode.Range(document.positionAt(from), document.positionAt(to)))
      .replaceAll('\r\n', '\n');
  const start = windowStart(offset, limits.before);
  return {
    document: document.uri.toString(),
    path: vscode.workspace.asRelativePath(document.uri),
    language: document.languageId,
    line: position.line,
    offset: document.eol === vscode.EndOfLine.CRLF ? offset - position.line : offset,
    before: fromWholeLine(text(start, offset), start > 0),
    after: text(offset, offset + limits.after),
  };
}
