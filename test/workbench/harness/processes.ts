import { readdir, readFile } from 'node:fs/promises';

export interface FoundProcess {
  pid: number;
  command: string;
}

/** The processes that run `onebit` (the server and its jobs) with this state folder in their environment. */
export function serverProcesses(state: string): Promise<FoundProcess[]> {
  return processesOf(state, 'onebit.mjs');
}

/** VS Code's processes that run extensions, of the windows with this state folder in their environment. */
export function extensionHosts(state: string): Promise<FoundProcess[]> {
  return processesOf(state, '--type=extensionHost');
}

async function processesOf(state: string, words: string): Promise<FoundProcess[]> {
  const found: FoundProcess[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const [command, environment] = await Promise.all([
        readFile(`/proc/${name}/cmdline`, 'utf8'),
        readFile(`/proc/${name}/environ`, 'utf8'),
      ]);
      const ours = environment.split('\0').includes(`ONEBIT_STATE=${state}`);
      if (ours && command.includes(words)) {
        found.push({ pid: Number(name), command: command.replaceAll('\0', ' ').trim() });
      }
    } catch {
      // It has ended meanwhile, or belongs to another user.
    }
  }
  return found;
}
