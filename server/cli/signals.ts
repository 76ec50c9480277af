import type { Socket } from 'node:net';
import { jobVariable } from '../protocol/job.ts';

/**
 * A signal that fires at the first SIGINT or SIGTERM, so that long commands stop cleanly; a second one
 * kills. A job's command (see `jobVariable`) also stops when its standard input ends: that is how it
 * notices that the server which started it has died, whatever killed it.
 */
export function processSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => controller.abort());
  }
  if (process.env[jobVariable] === '1') {
    // Nobody reads the pipes of an orphan; writing to them must not keep it from its last checkpoint.
    process.stdout.on('error', () => {});
    process.stderr.on('error', () => {});
    process.stdin.once('end', () => controller.abort());
    process.stdin.once('error', () => controller.abort());
    process.stdin.resume();
    // Waiting for its end must not keep a finished command alive; a pipe can be left unwatched, a file cannot.
    (process.stdin as Partial<Pick<Socket, 'unref'>>).unref?.();
  }
  return controller.signal;
}
