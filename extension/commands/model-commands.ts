import { basename } from 'node:path';
import * as vscode from 'vscode';
import type { ModelSummary } from '../../server/protocol/model.ts';
import { section } from '../settings.ts';
import { modelDescription } from '../views/tree-rows.ts';
import { askFolder } from './choose-checkpoint.ts';
import type { WindowParts } from './window-parts.ts';

interface ModelItem extends vscode.QuickPickItem {
  /** Absent: ask with a dialog. */
  model?: string;
}

function asItem(model: ModelSummary, current: string | undefined): ModelItem {
  return {
    label: `${model.id === current ? '$(check) ' : ''}${model.name}`,
    description: modelDescription(model),
    detail: model.id === 'starter' ? 'shipped with OneBit' : model.path,
    model: model.id,
  };
}

/** *Choose Model…*: one that the server knows, or a folder. */
export async function chooseModel(parts: WindowParts): Promise<void> {
  await parts.link.connect();
  const known = await parts.link.request('model/list', {});
  const current = parts.watch.model?.model?.id;
  const items: ModelItem[] = known.map((model) => asItem(model, current));
  items.push({ label: '$(folder-opened) Choose a folder…', alwaysShow: true });
  const picked = await vscode.window.showQuickPick(items, {
    title: 'Choose Model',
    placeHolder: 'The model that completes, for all windows',
    matchOnDescription: true,
  });
  if (picked === undefined) return;
  const model = picked.model ?? (await askFolder('Choose Model', 'Use Model'));
  if (model === undefined) return;
  if (picked.model === undefined) await parts.folders.choose([model]);
  await useModel(parts, model);
}

/** Writes the model into the settings and loads it, showing that it is being loaded. */
export async function useModel(parts: WindowParts, model: string): Promise<void> {
  await parts.link.connect();
  const name = model === 'starter' ? 'the starter model' : basename(model);
  await vscode.window.withProgress(
    { location: vscode.ProgressLocation.Window, title: `OneBit: loading ${name}` },
    async () => {
      await vscode.workspace
        .getConfiguration(section)
        .update('server.model', model, vscode.ConfigurationTarget.Global);
      await parts.models.load();
    },
  );
  parts.log.info(`Model: ${model}`);
}
