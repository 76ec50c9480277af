import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import * as vscode from 'vscode';
import { OneBitError } from '../../server/protocol/error.ts';
import { tensorflowObstacle, tensorflowPackage } from '../../server/protocol/training-backend.ts';
import { installPackage } from '../cuda/install-package.ts';
import { readSettings } from '../settings.ts';
import type { WindowParts } from './window-parts.ts';

/**
 * *Install the CUDA Backend*: explains what it needs, and installs it into the extension's storage, where the
 * server looks for it.
 */
export async function installCudaBackend({ log }: WindowParts, folder: string): Promise<void> {
  const node = readSettings().server.nodePath || process.execPath;
  const obstacle = tensorflowObstacle(process.platform, process.arch, await versionOf(node));
  if (obstacle !== undefined) {
    throw new OneBitError(
      'bad-request',
      `The CUDA backend cannot be used: ${obstacle}. It needs ${tensorflowPackage.needs}; onebit.server.nodePath ` +
        'names the Node.js of the server. Training on other GPUs and on the CPU needs nothing more.',
    );
  }
  const install = 'Install';
  const answer = await vscode.window.showInformationMessage(
    'Install the CUDA backend for training?',
    {
      modal: true,
      detail:
        `npm downloads ${tensorflowPackage.name} ${tensorflowPackage.version} and TensorFlow, about 2 GB on the disk, into ` +
        `the storage of this extension. It needs ${tensorflowPackage.needs}.`,
    },
    install,
  );
  if (answer !== install) return;
  await vscode.window.withProgress(
    {
      location: vscode.ProgressLocation.Notification,
      title: 'OneBit: installing the CUDA backend',
      cancellable: true,
    },
    async (progress, token) => {
      const abort = new AbortController();
      const listener = token.onCancellationRequested(() => abort.abort());
      const onLine = (line: string): void => {
        log.info(`npm: ${line}`);
        progress.report({ message: line.slice(0, 100) });
      };
      try {
        await installPackage({ folder, node, signal: abort.signal, onLine });
      } finally {
        listener.dispose();
      }
    },
  );
  void vscode.window.showInformationMessage(
    'The CUDA backend is installed. The next distillation uses it where onebit.distill.backend is auto or tensorflow.',
  );
}

async function versionOf(node: string): Promise<string> {
  if (node === process.execPath) return process.version;
  try {
    return (await promisify(execFile)(node, ['--version'])).stdout.trim();
  } catch (error) {
    throw new OneBitError('not-found', `onebit.server.nodePath (${node}) does not start.`, { cause: error });
  }
}
