import * as vscode from 'vscode';
import { asOneBitError, OneBitError } from '../../server/protocol/error.ts';
import { openFolder } from '../views/open-folder.ts';
import { showReport } from '../views/show-report.ts';
import { installCudaBackend } from './install-cuda.ts';
import { showMenu } from './menu.ts';
import { chooseModel, useModel } from './model-commands.ts';
import { startServer, stopServer } from './server-commands.ts';
import { distill, evaluate, quantize, type StarterTeacher } from './start-job.ts';
import { asRow, cancelJob, inspectModel, resumeJob, tryCompletion } from './tree-commands.ts';
import type { WindowParts } from './window-parts.ts';

/** The commands; what fails in one of them is shown once, with a way to the log. */
export function registerCommands(
  parts: WindowParts,
  starter: StarterTeacher,
  cudaFolder: string,
): vscode.Disposable[] {
  const command = (name: string, run: (argument: unknown) => Thenable<void> | void): vscode.Disposable =>
    vscode.commands.registerCommand(`onebit.${name}`, async (argument: unknown) => {
      try {
        await run(argument);
      } catch (caught) {
        const error = asOneBitError(caught);
        if (error.code === 'cancelled') return;
        parts.log.error(`${name}: ${error.message}`);
        void showFailure(parts.log, error.message);
      }
    });
  return [
    command('startServer', () => startServer(parts)),
    command('stopServer', () => stopServer(parts)),
    command('chooseModel', () => chooseModel(parts)),
    command('useModel', (argument) => {
      const model = typeof argument === 'string' ? argument : asRow(argument)?.id;
      return model === undefined ? chooseModel(parts) : useModel(parts, model);
    }),
    command('inspectModel', (row) => inspectModel(parts, asRow(row))),
    command('quantizeModel', (row) => quantize(parts, starter, folderOf(row))),
    command('cancelJob', (row) => cancelJob(parts, asRow(row))),
    command('resumeJob', (row) => resumeJob(parts, asRow(row))),
    command('openRowFolder', (row) => onRow(row, openFolder)),
    command('openReport', (row) => onRow(row, showReport)),
    command('tryCompletion', () => tryCompletion()),
    command('quantize', (resource) => quantize(parts, starter, asFolder(resource))),
    command('distill', (resource) => distill(parts, starter, asFolder(resource))),
    command('evaluate', (resource) => evaluate(parts, starter, asFolder(resource))),
    command('installCuda', () => installCudaBackend(parts, cudaFolder)),
    command('toggleCompletions', () => parts.switches.toggle(activeDocument())),
    command('toggleCompletionsForLanguage', () => forActive((each) => parts.switches.toggleLanguage(each))),
    command('toggleCompletionsForFile', () => forActive((each) => parts.switches.toggleFile(each))),
    command('showLog', () => parts.log.show()),
    command('showMenu', () => showMenu(parts)),
    command('openSettings', () =>
      vscode.commands.executeCommand<void>('workbench.action.openSettings', '@ext:onebit.onebit'),
    ),
  ];
}

async function showFailure(log: vscode.LogOutputChannel, message: string): Promise<void> {
  const showLog = 'Show Log';
  if ((await vscode.window.showErrorMessage(message, showLog)) === showLog) log.show();
}

function activeDocument(): vscode.TextDocument | undefined {
  return vscode.window.activeTextEditor?.document;
}

/** @throws bad-request where no editor is open */
async function forActive(work: (document: vscode.TextDocument) => Promise<void> | void): Promise<void> {
  const document = activeDocument();
  if (document === undefined) throw new OneBitError('bad-request', 'Open a file first.');
  await work(document);
}

/** Does something with the folder of a view's row; the palette has none. */
function onRow(argument: unknown, work: (folder: string) => Thenable<void> | void): Thenable<void> | void {
  const folder = asRow(argument)?.folder;
  if (folder !== undefined) return work(folder);
}

function folderOf(argument: unknown): vscode.Uri | undefined {
  const folder = asRow(argument)?.folder;
  return folder === undefined ? undefined : vscode.Uri.file(folder);
}

/** The explorer's context menu passes the folder; the palette passes nothing. */
function asFolder(resource: unknown): vscode.Uri | undefined {
  return resource instanceof vscode.Uri && resource.scheme === 'file' ? resource : undefined;
}
