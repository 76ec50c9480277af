import { basename, dirname } from 'node:path';
import * as vscode from 'vscode';
import { isWeightFile } from './checkpoint-folder.ts';

const searchLimit = 40;

/** Folders in the workspace that hold a config.json and weights. */
async function checkpointsInWorkspace(): Promise<string[]> {
  const [configs, weights] = await Promise.all([
    vscode.workspace.findFiles('**/config.json', '**/node_modules/**', 10 * searchLimit),
    vscode.workspace.findFiles('**/*.{safetensors,bin,gguf}', '**/node_modules/**', 10 * searchLimit),
  ]);
  const holding = new Set(
    weights.filter((uri) => isWeightFile(basename(uri.fsPath))).map((uri) => dirname(uri.fsPath)),
  );
  return configs
    .map((uri) => dirname(uri.fsPath))
    .filter((folder) => holding.has(folder))
    .sort()
    .slice(0, searchLimit);
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
    description: vscode.workspace.asRelativePath(folder),
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
