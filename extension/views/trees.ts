import type * as vscode from 'vscode';
import { asOneBitError } from '../../server/protocol/error.ts';
import type { ServerLink } from '../server-link/server-link.ts';
import type { ServerWatch } from '../server-link/server-watch.ts';
import { RowTree } from './row-tree.ts';
import { jobRows, modelRows, type TreeRow } from './tree-rows.ts';

/** The views of the activity bar: models and jobs. A view that comes onto the screen joins a server that runs; it starts none. */
export function makeTrees(
  link: ServerLink,
  watch: ServerWatch,
  log: vscode.LogOutputChannel,
): vscode.Disposable[] {
  const shown = (): void => {
    link.attach().catch((error: unknown) => log.warn(asOneBitError(error).message));
  };
  const changes = (listener: () => void) => [watch.onDidChange(listener), link.onDidChangeState(listener)];
  const connected = (rows: () => Promise<TreeRow[]>) => async (): Promise<TreeRow[]> => {
    // Where there is nothing, VS Code shows the welcome of package.json.
    if (link.state.state !== 'connected') return [];
    try {
      return await rows();
    } catch (error) {
      log.warn(`A view could not be filled: ${asOneBitError(error).message}`);
      return [];
    }
  };
  return [
    new RowTree({
      ...{ id: 'onebit.models', shown, changes },
      rows: connected(async () => modelRows(await link.request('model/list', {}), watch.model)),
    }),
    new RowTree({
      ...{ id: 'onebit.jobs', shown, changes },
      rows: connected(() => Promise.resolve(jobRows(watch.jobs))),
    }),
  ];
}
