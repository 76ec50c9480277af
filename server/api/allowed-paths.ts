import { readlink, realpath } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { modelFolder } from '../checkpoint/starter.ts';
import type { NamedPath } from '../jobs/named-paths.ts';
import { asOneBitError, OneBitError } from '../protocol/error.ts';

/** Links that lead to links, one after the other, before it counts as a circle. */
const maxLinks = 40;

export interface AlwaysAllowed {
  /** Read and written for every client: what `onebit serve --allow` names. */
  folders: readonly string[];
  /** Read by every client: models that were loaded before, the shipped ones, the one that the server was started with. */
  models(): Promise<readonly string[]>;
}

/**
 * Which files a client may name. Inside what the user opened or chose (the client says that of its window), what the
 * server was told to allow, and, for reading, models that the server knows. Symbolic links count as what they lead to.
 */
export class AllowedPaths {
  constructor(private readonly always: AlwaysAllowed) {}

  /**
   * Checks paths before anything is opened. What is not absolute is left to those who resolve names.
   * @param open folders and files of the client's window
   * @throws not-allowed, which names the field and says what to do; unreadable where links lead nowhere
   */
  async check(paths: readonly NamedPath[], open: readonly string[]): Promise<void> {
    for (const { field, path, use } of paths) {
      const named = modelFolder(path);
      if (!isAbsolute(named)) continue;
      const roots = [...open, ...this.always.folders, ...(use === 'read' ? await this.always.models() : [])];
      await this.checkOne(field, resolve(named), use, roots);
    }
  }

  private async checkOne(
    field: string,
    path: string,
    use: NamedPath['use'],
    roots: readonly string[],
  ): Promise<void> {
    // First by name alone: what is far outside is not even looked at (on Windows a name can be another machine's).
    const realRoots = await Promise.all(roots.map((root) => realPath(root).catch(() => resolve(root))));
    const named = [...roots.map((root) => resolve(root)), ...realRoots].some((root) => isInside(path, root));
    if (!named) throw notAllowed(field, `"${path}" lies`, path, use);
    const real = await realPath(path);
    if (realRoots.some((root) => isInside(real, root))) return;
    throw notAllowed(field, `"${path}" leads to "${real}", which lies`, real, use);
  }
}

function notAllowed(field: string, what: string, path: string, use: NamedPath['use']): OneBitError {
  const folder = use === 'write' ? dirname(path) : path;
  return new OneBitError(
    'not-allowed',
    `${field}: ${what} outside the folders that are open in VS Code or were chosen there. Open that folder, choose it in one of OneBit's dialogs, or start the server with "onebit serve --allow ${folder}".`,
  );
}

function isInside(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way === '' || (way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way));
}

/**
 * The path without symbolic links, also of what does not exist yet: a link that leads to nothing counts as the place
 * where writing through it would put something.
 * @throws unreadable (links in a circle, a folder that cannot be searched)
 */
async function realPath(path: string, links = maxLinks): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (asOneBitError(error).code !== 'not-found' || links === 0) {
      throw new OneBitError('unreadable', `"${path}" cannot be followed: ${asOneBitError(error).message}`, {
        cause: error,
      });
    }
  }
  const parent = dirname(path);
  if (parent === path) return path;
  const link = await readlink(path).catch(() => undefined);
  const realParent = await realPath(parent, links - 1);
  return link === undefined
    ? join(realParent, basename(path))
    : realPath(resolve(realParent, link), links - 1);
}
