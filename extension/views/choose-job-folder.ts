import * as vscode from 'vscode';
import type { OpenFolders } from '../server-link/open-folders.ts';

/** Says what a job was refused for, and opens the folder that its user picks. @returns false when the user gave up */
export async function chooseJobFolder(folders: OpenFolders, refusal: string): Promise<boolean> {
  const choose = 'Choose Folder…';
  const options = { modal: true, detail: refusal };
  const answer = await vscode.window.showWarningMessage(
    'The job was started from other folders. Choose the folder that holds its run to resume it here.',
    options,
    choose,
  );
  if (answer !== choose) return false;
  const chosen = await vscode.window.showOpenDialog({
    canSelectFiles: false,
    canSelectFolders: true,
    title: 'Folder of the run to resume',
    openLabel: 'Resume',
  });
  const folder = chosen?.[0]?.fsPath;
  if (folder === undefined) return false;
  await folders.choose([folder]);
  return true;
}
