import * as vscode from 'vscode';
import { isUnfinished } from '../server-link/server-watch.ts';
import type { WindowParts } from './window-parts.ts';

/** *Start Server*. */
export async function startServer({ link, models }: WindowParts): Promise<void> {
  await vscode.window.withProgress(
    { location: vscode.ProgressLocation.Window, title: 'OneBit: starting the server' },
    async () => {
      await link.connect();
      await models.ensureLoaded();
    },
  );
}

/** *Stop Server*: asks first when that would stop a job. */
export async function stopServer({ link, watch }: WindowParts): Promise<void> {
  const running = watch.jobs.filter(isUnfinished).length;
  if (running > 0) {
    const stop = 'Stop Server';
    const detail = 'What is done so far is kept: the same command continues it.';
    const what = running === 1 ? 'A job is running.' : `${running} jobs are running.`;
    const answer = await vscode.window.showWarningMessage(
      `${what} Stop the server all the same?`,
      { modal: true, detail },
      stop,
    );
    if (answer !== stop) return;
  }
  await link.stop();
}
