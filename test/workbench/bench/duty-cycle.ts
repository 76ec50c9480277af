import { setTimeout as sleep } from 'node:timers/promises';

const period = 2000;

/**
 * Lets a process run for `share` of the time only, by stopping it in between.
 * @param share above 0, below 1
 * @returns ends it and lets the process run
 */
export function throttle(pid: number, share: number): () => void {
  const stopped = new AbortController();
  const signal = (name: NodeJS.Signals): void => {
    try {
      process.kill(pid, name);
    } catch {
      // It has ended.
      stopped.abort();
    }
  };
  const run = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      signal('SIGCONT');
      await sleep(period * share);
      if (!stopped.signal.aborted) signal('SIGSTOP');
      await sleep(period * (1 - share));
    }
  };
  void run();
  return () => {
    stopped.abort();
    signal('SIGCONT');
  };
}
