import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import * as vscode from 'vscode';
import { asOneBitError } from '../../server/protocol/error.ts';
import { outputOf, type Job } from '../../server/protocol/job.ts';
import type { Ending } from '../panel/panel-link.ts';
import type { ServerLink } from '../server-link/server-link.ts';
import { isUnfinished, type ServerWatch } from '../server-link/server-watch.ts';
import { formatBytes, jobPercent, jobProgressLine } from '../views/status-state.ts';
import { showReport } from '../views/show-report.ts';
import { weightBytes } from './checkpoint-folder.ts';

const followedKey = 'onebit.followedJobs';

/** The folder that a job reads. */
export function sourceOf(job: Job): string {
  return job.spec.kind === 'quantize' ? job.spec.model : job.spec.teacher;
}

/**
 * Shows the jobs that this window started: progress that can be cancelled, then the outcome. The jobs live in
 * the server, so a reloaded window shows them again; what is followed is kept in the workspace's state.
 */
export class JobFollower implements vscode.Disposable {
  private readonly shown = new Set<string>();
  private readonly endings: Ending[];

  constructor(
    private readonly link: ServerLink,
    private readonly watch: ServerWatch,
    private readonly memory: vscode.Memento,
    private readonly log: vscode.LogOutputChannel,
  ) {
    this.endings = [watch.onDidChange(() => this.showFollowed())];
  }

  /** Whether jobs of this window had not ended when it was closed. */
  get hasUnfinished(): boolean {
    return this.followed().length > 0;
  }

  /** Shows the job until its end, in this window and after a reload. */
  follow(job: Job): void {
    void this.memory.update(followedKey, [...new Set([...this.followed(), job.id])]);
    this.watch.take(job);
    this.showFollowed();
  }

  dispose(): void {
    for (const ending of this.endings) ending.dispose();
  }

  private followed(): string[] {
    return this.memory.get<string[]>(followedKey, []);
  }

  private showFollowed(): void {
    if (this.link.state.state !== 'connected') return;
    for (const id of this.followed()) {
      const job = this.watch.job(id);
      if (job === undefined || this.shown.has(id)) continue;
      this.shown.add(id);
      void this.show(job).finally(() => this.shown.delete(id));
    }
  }

  private async show(job: Job): Promise<void> {
    const ended = isUnfinished(job) ? await this.showProgress(job) : job;
    // Without an end, the connection was lost: the job is shown again once it is back.
    if (ended === undefined) return;
    await this.memory.update(
      followedKey,
      this.followed().filter((id) => id !== job.id),
    );
    await this.showOutcome(ended);
  }

  private showProgress(job: Job): Thenable<Job | undefined> {
    const name = basename(sourceOf(job));
    const title = {
      quantize: `Quantizing ${name} to 1 bit`,
      distill: `Distilling ${name} to 1 bit`,
      evaluate: `Comparing models with ${name}`,
    }[job.spec.kind];
    return vscode.window.withProgress(
      { location: vscode.ProgressLocation.Notification, title, cancellable: true },
      (progress, token) =>
        new Promise<Job | undefined>((resolve) => {
          let shownPercent = 0;
          const settle = (ended: Job | undefined): void => {
            for (const ending of endings) ending.dispose();
            resolve(ended);
          };
          const update = (): void => {
            const now = this.watch.job(job.id);
            if (this.link.state.state !== 'connected' || now === undefined) return settle(undefined);
            if (!isUnfinished(now)) return settle(now);
            const percent = jobPercent(now) ?? 0;
            progress.report({
              message: jobProgressLine(now),
              increment: Math.max(0, percent - shownPercent),
            });
            shownPercent = Math.max(shownPercent, percent);
          };
          const endings: Ending[] = [
            this.watch.onDidChange(update),
            token.onCancellationRequested(() => {
              progress.report({ message: 'cancelling …' });
              this.link.request('job/cancel', { id: job.id }).then(
                (cancelled) => this.watch.take(cancelled),
                (error: unknown) => this.log.warn(`Cancel ${job.id}: ${asOneBitError(error).message}`),
              );
            }),
          ];
          update();
        }),
    );
  }

  private async showOutcome(job: Job): Promise<void> {
    const output = outputOf(job.spec);
    const name = output === undefined ? `Comparison with ${basename(sourceOf(job))}` : basename(output);
    this.log.info(
      `Job ${job.id} (${job.spec.kind}): ${job.state}${job.error ? `: ${job.error.message}` : ''}`,
    );
    switch (job.state) {
      case 'done': {
        if (output === undefined) {
          const chosen = await vscode.window.showInformationMessage(`${name} is done.`, 'Open Report');
          if (chosen === 'Open Report') await showReport(job.folder);
          return;
        }
        const [before, after] = await Promise.all([weightBytes(sourceOf(job)), weightBytes(output)]);
        const sizes = before > 0 && after > 0 ? ` ${formatBytes(before)} became ${formatBytes(after)}.` : '';
        const advice =
          job.spec.kind === 'quantize' ? ' Distill it next: SVID alone is only the starting point.' : '';
        const chosen = await vscode.window.showInformationMessage(
          `The 1-bit model is in ${name}.${sizes}${advice}`,
          'Use Model',
          'Open Panel',
        );
        if (chosen === 'Use Model') await vscode.commands.executeCommand('onebit.useModel', output);
        else if (chosen === 'Open Panel') await vscode.commands.executeCommand('onebit.openPanel');
        return;
      }
      case 'failed': {
        const why = job.error?.message ?? 'The job gave no reason.';
        const chosen = await vscode.window.showErrorMessage(`${name}: ${why}`, 'Show Log');
        if (chosen === 'Show Log') await showJobLog(job);
        return;
      }
      case 'interrupted': {
        const again = 'Run the same command again to continue it.';
        const what = output === undefined ? name : `The job that writes ${name}`;
        void vscode.window.showWarningMessage(`${what} was interrupted. ${again}`);
        return;
      }
      default:
        vscode.window.setStatusBarMessage(`OneBit: ${name} cancelled`, 5000);
    }
  }
}

async function showJobLog(job: Job): Promise<void> {
  const file = join(job.folder, 'log.txt');
  if (existsSync(file)) await vscode.window.showTextDocument(vscode.Uri.file(file), { preview: true });
  else await vscode.commands.executeCommand('onebit.showLog');
}
