import { readFile } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { dirname, join } from 'node:path';

/**
 * Bytes that this process can still take before the system, or the container that it runs in, is out of
 * memory; page caches that can be dropped count as free. Elsewhere than on Linux only the machine's size is
 * known.
 * @param root where /proc and /sys are found
 */
export async function availableMemory(root = '/'): Promise<number> {
  const meminfo = await read(join(root, 'proc/meminfo'));
  const free = field(meminfo, /^MemAvailable:\s+(\d+) kB$/m);
  let available = free === undefined ? totalmem() : 1024 * free;
  for (const group of await memoryGroups(root)) available = Math.min(available, await roomIn(group));
  return Math.max(0, available);
}

/** A control group, in the layout of version 1 or 2. */
interface Group {
  folder: string;
  version: 1 | 2;
}

/** The memory groups that the process is in, each with the groups around it (Linux: cgroups(7)). */
async function memoryGroups(root: string): Promise<Group[]> {
  const groups: Group[] = [];
  for (const line of (await read(join(root, 'proc/self/cgroup'))).split('\n')) {
    // `hierarchy:controllers:path`; version 2 is hierarchy 0 without controllers.
    const [, hierarchy, controllers = '', path = '/'] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? [];
    const isSecond = hierarchy === '0' && controllers === '';
    if (!isSecond && !controllers.split(',').includes('memory')) continue;
    const top = join(root, 'sys/fs/cgroup', isSecond ? '' : 'memory');
    for (let at = path; ; at = dirname(at)) {
      groups.push({ folder: join(top, at), version: isSecond ? 2 : 1 });
      if (at === dirname(at)) break;
    }
  }
  return groups;
}

/** Bytes that a group may still take; Infinity where it has no limit. */
async function roomIn({ folder, version }: Group): Promise<number> {
  const names =
    version === 2 ? ['memory.max', 'memory.current'] : ['memory.limit_in_bytes', 'memory.usage_in_bytes'];
  const [limit, used] = await Promise.all(
    names.map(async (name) => field(await read(join(folder, name)), /^(\d+)$/m)),
  );
  if (limit === undefined || used === undefined) return Infinity;
  const statistics = await read(join(folder, 'memory.stat'));
  const cached = ['active_file', 'inactive_file'].map(
    (name) => field(statistics, new RegExp(`^${version === 2 ? '' : 'total_'}${name} (\\d+)$`, 'm')) ?? 0,
  );
  return limit - used + cached.reduce((sum, bytes) => sum + bytes, 0);
}

function field(text: string, pattern: RegExp): number | undefined {
  const found = pattern.exec(text)?.[1];
  return found === undefined ? undefined : Number(found);
}

/** Empty where there is no such file: another system, or another version of control groups. */
async function read(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}
