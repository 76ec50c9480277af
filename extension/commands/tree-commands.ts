import * as vscode from 'vscode';
import { OneBitError } from '../../server/protocol/error.ts';
import { chooseJobFolder } from '../views/choose-job-folder.ts';
import type { TreeRow } from '../views/tree-rows.ts';
import { startAgain } from './start-again.ts';
import type { WindowParts } from './window-parts.ts';

/** A view's menus pass the row; the palette and the walkthrough pass nothing. */
export function asRow(argument: unknown): TreeRow | undefined {
  const isRow =
    typeof argument === 'object' && argument !== null && 'context' in argument && 'folder' in argument;
  return isRow ? (argument as TreeRow) : undefined;
}

/** *Inspect Layers*: of the model of a row, or of the one in use. */
export async function inspectModel(parts: WindowParts, row: TreeRow | undefined): Promise<void> {
  await parts.link.connect();
  const used = parts.watch.model?.model ?? (await parts.link.request('model/status', {})).model;
  const model = row ?? used;
  if (model === undefined) throw new OneBitError('bad-request', 'Choose a model first.');
  parts.showLayers(model.id);
}

/** Ends a job at its next checkpoint. */
export async function cancelJob(parts: WindowParts, row: TreeRow | undefined): Promise<void> {
  if (row === undefined) return;
  parts.watch.take(await parts.link.request('job/cancel', { id: row.id }));
}

/** Starts a job that stopped once more; a distillation goes on from its last checkpoint. */
export async function resumeJob(parts: WindowParts, row: TreeRow | undefined): Promise<void> {
  const job = row && parts.watch.job(row.id);
  if (job === undefined) return;
  const started = await startAgain(
    () => parts.link.request('job/start', job.spec),
    (refusal) => chooseJobFolder(parts.folders, refusal),
  );
  parts.jobs.follow(started);
}

const beginning = [
  'export function sum(values: number[]): number {',
  '  let total = 0;',
  '  for (const value of values) {',
  '    total += value;',
  '  }',
  '  return ',
].join('\n');

/** A new document with the beginning of a function, and a completion asked for at its end. */
export async function tryCompletion(): Promise<void> {
  const document = await vscode.workspace.openTextDocument({ language: 'typescript', content: beginning });
  const editor = await vscode.window.showTextDocument(document, vscode.ViewColumn.Beside);
  const end = document.positionAt(beginning.length);
  editor.selection = new vscode.Selection(end, end);
  await vscode.commands.executeCommand('editor.action.inlineSuggest.trigger');
}
