import * as vscode from 'vscode';
import { formatBytes } from '../views/status-state.ts';
import type { WindowParts } from './window-parts.ts';

interface MenuItem extends vscode.QuickPickItem {
  command?: string;
}

/** The menu: what the status bar item's tooltip and the palette open. */
export async function showMenu({ link, watch, switches }: WindowParts): Promise<void> {
  const document = vscode.window.activeTextEditor?.document;
  const off = switches.off(document);
  const running = link.state.state === 'connected' || link.state.state === 'starting';
  const model = watch.model?.model;
  const items: MenuItem[] = [
    off === undefined
      ? { label: '$(circle-slash) Turn Completions Off', command: 'onebit.toggleCompletions' }
      : {
          label: '$(check) Turn Completions On',
          description: { everywhere: undefined, language: 'for this language', file: 'for this file' }[off],
          command: 'onebit.toggleCompletions',
        },
    ...(document === undefined || off !== undefined
      ? []
      : [
          {
            label: '$(circle-slash) Turn Completions Off for This Language',
            description: document.languageId,
            command: 'onebit.toggleCompletionsForLanguage',
          },
          {
            label: '$(circle-slash) Turn Completions Off for This File',
            command: 'onebit.toggleCompletionsForFile',
          },
        ]),
    {
      label: '$(symbol-boolean) Choose Model…',
      description: model && `${model.name}, ${formatBytes(model.bytes)}`,
      command: 'onebit.chooseModel',
    },
    { label: '$(graph) Open Panel', command: 'onebit.openPanel' },
    { label: '', kind: vscode.QuickPickItemKind.Separator },
    { label: '$(file-zip) Quantize Checkpoint to 1 Bit (SVID)', command: 'onebit.quantize' },
    { label: '$(mortar-board) Distill a 1-Bit Student', command: 'onebit.distill' },
    { label: '$(checklist) Compare Models', command: 'onebit.evaluate' },
    { label: '', kind: vscode.QuickPickItemKind.Separator },
    running
      ? { label: '$(debug-stop) Stop Server', command: 'onebit.stopServer' }
      : { label: '$(debug-start) Start Server', command: 'onebit.startServer' },
    { label: '$(output) Show Log', command: 'onebit.showLog' },
    { label: '$(gear) Settings', command: 'onebit.openSettings' },
  ];
  const picked = await vscode.window.showQuickPick(items, {
    title: 'OneBit',
    placeHolder: link.state.state === 'failed' ? link.state.error : undefined,
  });
  if (picked?.command !== undefined) await vscode.commands.executeCommand(picked.command);
}
