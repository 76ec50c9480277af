import * as vscode from 'vscode';
import type { CompletionActivity } from '../completion/activity.ts';
import type { Ending } from '../panel/panel-link.ts';
import type { ServerLink } from '../server-link/server-link.ts';
import type { ServerWatch } from '../server-link/server-watch.ts';

/** Keeps what package.json's conditions look at: the views' welcomes and the steps of the walkthrough. */
export function keepContextKeys(
  link: ServerLink,
  watch: ServerWatch,
  activity: CompletionActivity,
): Ending[] {
  const known = new Map<string, boolean>();
  const update = (): void => {
    const keys = {
      'onebit.connected': link.state.state === 'connected',
      'onebit.modelReady': watch.model?.state === 'ready',
      'onebit.completionSeen': activity.gave,
    };
    for (const [key, value] of Object.entries(keys)) {
      if (known.get(key) === value) continue;
      known.set(key, value);
      void vscode.commands.executeCommand('setContext', key, value);
    }
  };
  update();
  return [link.onDidChangeState(update), watch.onDidChange(update), activity.onDidChange(update)];
}
