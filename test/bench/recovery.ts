// How soon a window completes again after its server was killed in the middle of a completion.
import { setTimeout as sleep } from 'node:timers/promises';
import { findServer } from '../../extension/server-link/find-server.ts';
import { ModelLoader } from '../../extension/server-link/model-loader.ts';
import { ServerLink } from '../../extension/server-link/server-link.ts';
import { ServerWatch } from '../../extension/server-link/server-watch.ts';

export interface RecoveryOptions {
  /** The command line's bundle. */
  cli: string;
  /** A folder for the server's state. */
  folder: string;
  /** `starter` or a folder. */
  model: string;
}

/** @returns milliseconds from each kill to the next whole completion; the second one waits longer, by the back-off */
export async function measureRecovery({ cli, folder, model }: RecoveryOptions): Promise<number[]> {
  const link = new ServerLink({
    version: '0',
    folders: { all: () => [], onDidChange: () => ({ dispose: () => {} }) },
    start: () => ({
      ...{ stateFolder: folder, node: process.execPath, cli },
      args: ['--lease-seconds', '1', '--model', model],
    }),
    log: () => {},
  });
  const watch = new ServerWatch(link, () => {});
  const models = new ModelLoader(link, watch, () => ({ model, contextLength: 0, device: 'cpu' }));
  const times: number[] = [];
  try {
    await link.connect();
    await models.ensureLoaded();
    for (let turn = 0; turn < 2; turn++) {
      const server = await findServer(folder);
      if (server === undefined) throw new Error('There is no server.');
      const begun = new Promise<void>((resolve) => {
        link.complete({ prefix: 'const a = ', maxTokens: 400 }, () => resolve()).catch(() => {});
      });
      await begun;
      process.kill(server.pid, 'SIGKILL');
      const killed = performance.now();
      for (let done = false; !done;) {
        await sleep(20);
        done = await models
          .ensureLoaded()
          .then(() => link.complete({ prefix: 'const a = ', maxTokens: 8 }))
          .then(
            () => true,
            () => false,
          );
      }
      times.push(performance.now() - killed);
    }
  } finally {
    watch.dispose();
    await link.dispose();
  }
  return times;
}
