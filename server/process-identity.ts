import { readFileSync } from 'node:fs';
import { z } from 'zod';

/** Which process, across restarts of the machine and reuse of process numbers. */
export const processIdentitySchema = z.object({
  pid: z.number().int().positive(),
  /** Linux's boot id; empty where unknown. */
  bootId: z.string(),
  /** Clock ticks from the boot to the process's start (Linux: /proc/PID/stat, field 22); empty where unknown. */
  startTicks: z.string(),
});
export type ProcessIdentity = z.infer<typeof processIdentitySchema>;

/** The machine's current boot; empty where it cannot be told. */
export function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}

export function identify(pid: number): ProcessIdentity {
  return { pid, bootId: bootId(), startTicks: startTicks(pid) };
}

/**
 * Whether the process still runs: `gone` (no such process, another boot, or the number now belongs to
 * another process), `runs`, or `unknown` (a process of that number runs and nothing tells which).
 */
export function whetherRuns(identity: ProcessIdentity): 'runs' | 'gone' | 'unknown' {
  const boot = bootId();
  if (boot !== '' && identity.bootId !== '' && boot !== identity.bootId) return 'gone';
  try {
    process.kill(identity.pid, 0);
  } catch {
    // ESRCH: none. EPERM: another user's, and so not the one meant.
    return 'gone';
  }
  const ticks = startTicks(identity.pid);
  if (ticks === '' || identity.startTicks === '') return 'unknown';
  return ticks === identity.startTicks ? 'runs' : 'gone';
}

function startTicks(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in parentheses and may hold anything; count after it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie has ended; it only waits for its parent to notice.
    return fields[0] === 'Z' ? 'ended' : (fields[19] ?? '');
  } catch {
    return '';
  }
}
