import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { codeServer, node24 } from './places.ts';

/** Quiet: nothing that looks things up elsewhere, moves the focus, or puts ghost text of its own on the screen. */
const userSettings = {
  'workbench.startupEditor': 'none',
  'workbench.tips.enabled': false,
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'workbench.enableExperiments': false,
  'chat.disableAIFeatures': true,
  'telemetry.telemetryLevel': 'off',
  'security.workspace.trust.enabled': false,
  'extensions.autoUpdate': false,
  'extensions.autoCheckUpdates': false,
  'extensions.ignoreRecommendations': true,
  'git.enabled': false,
  'npm.fetchOnlinePackageInfo': false,
  'json.schemaDownload.enable': false,
  'typescript.disableAutomaticTypeAcquisition': true,
  'editor.inlineSuggest.enabled': true,
  'editor.quickSuggestions': { other: 'off', comments: 'off', strings: 'off' },
  'editor.minimap.enabled': false,
  'window.menuBarVisibility': 'hidden',
  'files.simpleDialog.enable': true,
  'workbench.reduceMotion': 'on',
};

/** The folders of one run of VS Code; nothing of the user's own is touched. */
export interface Folders {
  base: string;
  /** The opened workspace. */
  workspace: string;
  /** ONEBIT_STATE. */
  state: string;
  user: string;
}

export type Settings = Record<string, unknown>;

/** @param settingsOf settings beside the quiet ones; they may name the folders */
export async function makeFolders(settingsOf: (folders: Folders) => Settings = () => ({})): Promise<Folders> {
  // Not under the project: VS Code puts Unix sockets here, whose paths may be 107 characters at most.
  const base = await mkdtemp(join(tmpdir(), 'onebit-wb-'));
  const folders = {
    base,
    workspace: join(base, 'workspace'),
    state: join(base, 'state'),
    user: join(base, 'user'),
  };
  for (const folder of [
    folders.workspace,
    join(base, 'home'),
    join(base, 'tmp'),
    join(base, 'user', 'User'),
  ]) {
    await mkdir(folder, { recursive: true });
  }
  // The server stops soon after the last window has gone, so that a test need not wait a minute for it.
  const settings = { 'onebit.server.stopAfterSeconds': 2, ...settingsOf(folders) };
  const all = { ...userSettings, ...settings };
  await writeFile(join(folders.user, 'User', 'settings.json'), JSON.stringify(all, null, 2));
  // Settings of scope "machine" count only here.
  await mkdir(join(folders.user, 'Machine'));
  await writeFile(join(folders.user, 'Machine', 'settings.json'), JSON.stringify(settings, null, 2));
  return folders;
}

function environment({ base, state }: Pick<Folders, 'base' | 'state'>): NodeJS.ProcessEnv {
  const home = join(base, 'home');
  return {
    ...process.env,
    HOME: home,
    TMPDIR: join(base, 'tmp'),
    XDG_CONFIG_HOME: join(home, '.config'),
    XDG_DATA_HOME: join(home, '.local', 'share'),
    XDG_CACHE_HOME: join(home, '.cache'),
    XDG_STATE_HOME: join(home, '.local', 'state'),
    XDG_RUNTIME_DIR: join(base, 'tmp'),
    VSCODE_IPC_HOOK_CLI: '',
    ONEBIT_STATE: state,
  };
}

function options(folders: Folders, extensions: string): string[] {
  const config = join(folders.base, 'config.yaml');
  return ['--config', config, '--user-data-dir', folders.user, '--extensions-dir', extensions];
}

/** Installs an extension, as a user does it from a .vsix. */
export async function installExtension(vsix: string, extensions: string): Promise<void> {
  const folders = await makeFolders();
  try {
    const args = [codeServer, ...options(folders, extensions), '--install-extension', vsix];
    await promisify(execFile)(node24, args, { env: environment(folders) });
  } finally {
    await rm(folders.base, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** VS Code as a server, for one browser. */
export class CodeServer {
  private constructor(
    readonly url: string,
    private readonly process: ChildProcess,
  ) {}

  static async start(folders: Folders, extensions: string): Promise<CodeServer> {
    const port = await freePort();
    const logPath = join(folders.base, 'code-server.log');
    const log = openSync(logPath, 'w');
    const child = spawn(
      node24,
      [
        codeServer,
        ...options(folders, extensions),
        ...['--auth', 'none', '--bind-addr', `127.0.0.1:${port}`],
        ...['--disable-telemetry', '--disable-update-check', '--disable-workspace-trust'],
        ...['--disable-getting-started-override', '--ignore-last-opened', '--reconnection-grace-time', '20'],
      ],
      { env: environment(folders), stdio: ['ignore', log, log] },
    );
    closeSync(log);
    const url = `http://127.0.0.1:${port}`;
    for (const deadline = Date.now() + 60_000; ; await sleep(100)) {
      const answers = await fetch(`${url}/healthz`).then(
        ({ ok }) => ok,
        () => false,
      );
      if (answers) return new CodeServer(url, child);
      if (child.exitCode !== null || Date.now() > deadline) {
        child.kill('SIGKILL');
        throw new Error(`code-server does not start:\n${await readFile(logPath, 'utf8')}`);
      }
    }
  }

  async stop(): Promise<void> {
    if (this.process.exitCode !== null) return;
    const exit = once(this.process, 'exit');
    this.process.kill('SIGTERM');
    const kill = setTimeout(() => this.process.kill('SIGKILL'), 5000);
    await exit;
    clearTimeout(kill);
  }
}
