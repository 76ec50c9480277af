import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../package-root.ts';

/** Names under which the shipped models are known wherever a model folder is expected. */
const starters: Readonly<Record<string, string>> = { starter: 'student', 'starter-teacher': 'teacher' };

/** The folder of a model: of the shipped one for `starter` and `starter-teacher`, otherwise the path itself. */
export function modelFolder(nameOrPath: string): string {
  const folder = Object.hasOwn(starters, nameOrPath) ? starters[nameOrPath] : undefined;
  if (folder === undefined || existsSync(nameOrPath)) return nameOrPath;
  return join(starterFolder(), folder);
}

/** The folder that holds the shipped models. */
export function starterFolder(): string {
  return join(packageRoot(), 'server', 'starter');
}
