import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { stateFolder } from '../server/protocol/discovery.ts';
import { asOneBitError } from '../server/protocol/error.ts';
import { tensorflowVariable } from '../server/protocol/training-backend.ts';
import { chatVendor, OneBitChatProvider } from './chat/chat-provider.ts';
import { CheckpointFileEditor } from './checkpoint-file/file-editor.ts';
import { JobFollower } from './commands/job-follower.ts';
import { registerCommands } from './commands/register.ts';
import { CompletionActivity } from './completion/activity.ts';
import { CompletionSwitches } from './completion/completion-switches.ts';
import { completedSchemes } from './completion/context/watch-documents.ts';
import { FilesLeftOut } from './completion/files-left-out.ts';
import { OneBitInlineProvider } from './completion/inline-provider.ts';
import { OneBitPanel } from './panel/panel.ts';
import { ModelLoader } from './server-link/model-loader.ts';
import { OpenFolders } from './server-link/open-folders.ts';
import { ServerLink } from './server-link/server-link.ts';
import { ServerWatch } from './server-link/server-watch.ts';
import { pathsInUserSettings, readSettings, section } from './settings.ts';
import { keepContextKeys } from './views/context-keys.ts';
import { StatusItem } from './views/status-item.ts';
import { makeTrees } from './views/trees.ts';

let link: ServerLink | undefined;

const completedDocuments = completedSchemes.map((scheme) => ({ scheme }));

/** Makes the status bar item and registers everything else; no process is started here. */
export function activate(context: vscode.ExtensionContext): void {
  const log = vscode.window.createOutputChannel('OneBit', { log: true });
  const folders = new OpenFolders(workspaceFolders, pathsInUserSettings, context.workspaceState);
  const shared = new ServerLink({
    folders,
    version: String((context.extension.packageJSON as { version: unknown }).version),
    start: () => serverStart(context),
    log: (level, message) => log[level](message),
  });
  link = shared;
  const watch = new ServerWatch(link, (message) => log.warn(message));
  const models = new ModelLoader(link, watch, () => {
    const { server, device } = readSettings();
    return { ...server, device };
  });
  const activity = new CompletionActivity();
  const jobs = new JobFollower(link, watch, context.workspaceState, log);
  const filesLeftOut = new FilesLeftOut(context.globalStorageUri.fsPath, (message) => log.warn(message));
  const switches = new CompletionSwitches(filesLeftOut);
  const completions = new OneBitInlineProvider(link, watch, models, switches, activity, log);
  const chat = new OneBitChatProvider(link, watch, models, context.globalState, log);
  const showLayers = (model: string): void => OneBitPanel.showLayers(context, shared, folders, model);
  const teacher = context.asAbsolutePath(join('server', 'starter', 'teacher'));

  context.subscriptions.push(
    log,
    watch,
    jobs,
    filesLeftOut,
    switches,
    completions,
    chat,
    vscode.lm.registerLanguageModelChatProvider(chatVendor, chat),
    new StatusItem(link, watch, activity, switches),
    ...makeTrees(link, watch, log),
    ...keepContextKeys(link, watch, activity),
    vscode.languages.registerInlineCompletionItemProvider(completedDocuments, completions),
    ...registerCommands(
      { link, folders, watch, models, switches, jobs, showLayers, log },
      existsSync(teacher) ? teacher : undefined,
      cudaFolder(context),
    ),
    vscode.commands.registerCommand('onebit.openPanel', () => OneBitPanel.show(context, shared, folders)),
    OneBitPanel.registerSerializer(context, shared, folders),
    CheckpointFileEditor.register(context, shared, folders, showLayers),
    vscode.workspace.onDidChangeWorkspaceFolders(() => folders.changed()),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration(section)) folders.changed();
      const changed = ['device', 'server.model', 'server.contextLength'].some((name) =>
        event.affectsConfiguration(`${section}.${name}`),
      );
      if (!changed || link?.state.state !== 'connected') return;
      models.load().catch((error: unknown) => log.error(asOneBitError(error).message));
    }),
  );

  // A job that this window started may still be running: show it, if its server is there.
  if (jobs.hasUnfinished) {
    link.attach().catch((error: unknown) => log.warn(asOneBitError(error).message));
  }
}

/** VS Code waits for this at most five seconds. */
export async function deactivate(): Promise<void> {
  await link?.dispose();
  link = undefined;
}

function workspaceFolders(): string[] {
  const folders = vscode.workspace.workspaceFolders ?? [];
  return folders.filter(({ uri }) => uri.scheme === 'file').map(({ uri }) => uri.fsPath);
}

/** Where *Install the CUDA Backend* puts it. */
function cudaFolder(context: vscode.ExtensionContext): string {
  return join(context.globalStorageUri.fsPath, 'cuda');
}

function serverStart(
  context: vscode.ExtensionContext,
): ReturnType<ConstructorParameters<typeof ServerLink>[0]['start']> {
  const { device, server } = readSettings();
  const { nodePath, model, contextLength, idleUnloadMinutes, stopAfterSeconds } = server;
  return {
    stateFolder: stateFolder(process.env, process.platform, homedir()),
    // Electron behaves as Node under ELECTRON_RUN_AS_NODE, which the start sets.
    node: nodePath === '' ? process.execPath : nodePath,
    cli: context.asAbsolutePath(join('dist', 'onebit.mjs')),
    environment: { [tensorflowVariable]: process.env[tensorflowVariable] ?? cudaFolder(context) },
    args: [
      ...['--model', model],
      ...['--device', device],
      ...(contextLength > 0 ? ['--context', String(contextLength)] : []),
      ...['--idle-minutes', String(idleUnloadMinutes)],
      ...['--lease-seconds', String(stopAfterSeconds)],
    ],
  };
}
