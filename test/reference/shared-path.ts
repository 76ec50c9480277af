import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'vitest';
import { packageRoot } from '../../server/package-root.ts';

/** A file or folder beside the project that only some machines have; where it is missing, the test is skipped. */
export function sharedPath(context: TestContext, ...parts: string[]): string {
  const path = join(packageRoot(), '..', 'shared', ...parts);
  if (!existsSync(path)) context.skip(`${join('..', 'shared', ...parts)} is not here`);
  return path;
}
