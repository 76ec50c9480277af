import { basename, dirname } from 'node:path';
import * as vscode from 'vscode';
import { isFullCheckpoint } from './checkpoint-folder.ts';

const searchLimit = 200;

/** Folders in the workspace that are full-precision checkpoints. */
async function checkpointsInWorkspace(): Promise<string[]> {
  const configs = await vscode.workspace.findFiles('**/config.json', '**/node_modules/**', searchLimit);
  const folders = configs.map((uri) => dirname(uri.fsPath)).sort();
  const fit = await Promise.all(folders.map(isFullCheckpoint));
  return folders.filter((_, index) => fit[index]);
}

/** Where a folder lies in the workspace; nothing for one at its root. */
function parentInWorkspace(folder: string): string {
  const parent = dirname(folder);
  const relative = vscode.workspace.asRelativePath(parent);
  return relative === parent ? '' : relative;
}

/** Asks for one folder; undefined when the user thought better of it. */
export async function askFolder(title: string, openLabel: string): Promise<string | undefined> {
  const [folder] =
    (await vscode.window.showOpenDialog({
      canSelectFolders: true,
      canSelectFiles: false,
      canSelectMany: false,
      title,
      openLabel,
    })) ?? [];
  return folder?.fsPath;
}

interface FolderItem extends vscode.QuickPickItem {
  /** Absent: ask with a dialog. */
  folder?: string;
}

/**
 * Asks for a checkpoint folder, offering those in the workspace first.
 * @param teacher folder of the shipped teacher, offered as well
 */
export async function askCheckpoint(title: string, teacher: string | undefined): Promise<string | undefined> {
  const found = await checkpointsInWorkspace();
  const items: FolderItem[] = found.map((folder) => ({
    label: `$(folder) ${basename(folder)}`,
    description: parentInWorkspace(folder),
    folder,
  }));
  if (teacher !== undefined) {
    items.push({
      label: '$(package) Starter teacher',
      description: 'the small code model that OneBit ships',
      folder: teacher,
    });
  }
  if (items.length === 0) return askFolder(title, 'Choose Checkpoint');
  items.push({ label: '$(folder-opened) Choose a folder…' });
  const picked = await vscode.window.showQuickPick(items, {
    title,
    placeHolder: 'A LLaMA checkpoint: config.json and weights',
    matchOnDescription: true,
  });
  if (picked === undefined) return undefined;
  return picked.folder ?? askFolder(title, 'Choose Checkpoint');
}
