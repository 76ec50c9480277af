import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { availableMemory } from '../../../server/available-memory.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'onebit-root-'));
  await file('proc/meminfo', 'MemTotal:       16000000 kB\nMemFree:  100 kB\nMemAvailable:    8000000 kB\n');
});
afterEach(() => rm(root, { recursive: true }));

async function file(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), text);
}

it('is what the system says where no group has a limit', async () => {
  await file('proc/self/cgroup', '0::/user.slice\n');
  await file('sys/fs/cgroup/user.slice/memory.max', 'max\n');
  await file('sys/fs/cgroup/user.slice/memory.current', '5000\n');
  expect(await availableMemory(root)).toBe(8_192_000_000);
});

it('is what the tightest of the groups around the process leaves, page cache not counted', async () => {
  await file('proc/self/cgroup', '0::/outer/inner\n');
  await file('sys/fs/cgroup/outer/inner/memory.max', 'max\n');
  await file('sys/fs/cgroup/outer/inner/memory.current', '5000\n');
  await file('sys/fs/cgroup/outer/memory.max', '1000000\n');
  await file('sys/fs/cgroup/outer/memory.current', '700000\n');
  await file('sys/fs/cgroup/outer/memory.stat', 'anon 1\nfile 9\ninactive_file 200000\nactive_file 50000\n');
  expect(await availableMemory(root)).toBe(550_000);
});

it('knows the groups of version 1, as older container engines make them', async () => {
  await file('proc/self/cgroup', '5:cpu:/x\n4:hugetlb,memory:/docker/abc\n0::/\n');
  const group = 'sys/fs/cgroup/memory/docker/abc';
  await file(`${group}/memory.limit_in_bytes`, '3000000\n');
  await file(`${group}/memory.usage_in_bytes`, '2500000\n');
  await file(`${group}/memory.stat`, 'inactive_file 7\ntotal_inactive_file 1000000\ntotal_active_file 0\n');
  await file('sys/fs/cgroup/memory/memory.limit_in_bytes', '9223372036854771712\n');
  await file('sys/fs/cgroup/memory/memory.usage_in_bytes', '2600000\n');
  expect(await availableMemory(root)).toBe(1_500_000);
});

it('is some part of this machine', async () => {
  const bytes = await availableMemory();
  expect(bytes).toBeGreaterThan(0);
  expect(bytes).toBeLessThanOrEqual(totalmem());
});
