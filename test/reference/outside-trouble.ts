// What befalls a server from outside, for tests and the benchmark of recoveries: a disk that is full, a clock that is set.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../server/package-root.ts';

/** Mounts a file system of 512 kB on the folder. Unmount it with `umount -l`. @returns false where one may not */
export function mountSmallDisk(folder: string): boolean {
  return spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', folder]).status === 0;
}

/** Takes what is left of a disk. @returns the file that has taken it */
export function fillDisk(folder: string): string {
  const path = join(folder, 'filling');
  for (const size of [65_536, 4096, 512, 1]) {
    try {
      for (;;) writeFileSync(path, Buffer.alloc(size), { flag: 'a' });
    } catch {
      // Full, or fuller.
    }
  }
  return path;
}

/**
 * The library that moves a process's clock of the day: `LD_PRELOAD` it, and name a file of seconds as `CLOCK_SHIFT`.
 * @returns undefined where it cannot be built
 */
export function buildClockShim(folder: string): string | undefined {
  if (process.platform !== 'linux') return undefined;
  const path = join(folder, 'shim.so');
  const source = join(packageRoot(), 'test', 'reference', 'clock-shim.c');
  const built = spawnSync('cc', ['-O1', '-shared', '-fPIC', '-o', path, source, '-ldl']);
  return built.status === 0 ? path : undefined;
}
