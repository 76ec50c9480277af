import { readFileSync, rmSync } from 'node:fs';
import { link, mkdir, open, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { identify, processIdentitySchema, whetherRuns, type ProcessIdentity } from '../process-identity.ts';
import { asOneBitError, OneBitError } from '../protocol/error.ts';

const lockFile = 'server.lock';
/** Held for the moment in which a stale lock is exchanged, so that two who find it do not both take over. */
const takeoverFile = 'server.lock.takeover';
/** Whoever makes it writes at once who it is; one that has stayed empty for so long never will. */
const takeoverEmptyMs = 10_000;
const attempts = 50;

export type LockOutcome = { held: true; release(): void } | { held: false; owner: ProcessIdentity };

/**
 * Takes the lock that lets one server run for this user on this machine. The file appears whole or not
 * at all (hard link of a finished file). A lock whose process is gone (dead, of another boot, or its
 * number reused) is taken over.
 * @param answers asks whether the server of that process answers, where nothing else tells
 * @throws unreadable, no-space and the like, naming the folder
 */
export async function takeServerLock(
  stateFolder: string,
  answers: (owner: ProcessIdentity) => Promise<boolean>,
): Promise<LockOutcome> {
  const path = join(stateFolder, lockFile);
  const own = join(stateFolder, `${lockFile}.${process.pid}`);
  const identity = JSON.stringify(identify(process.pid));
  try {
    await mkdir(stateFolder, { recursive: true, mode: 0o700 });
    const file = await open(own, 'w', 0o600);
    try {
      await file.writeFile(identity);
      await file.sync();
    } finally {
      await file.close();
    }
    for (let attempt = 0; attempt < attempts; attempt++) {
      if (await linked(own, path)) return { held: true, release: () => release(path, identity) };
      const owner = await readOwner(path);
      if (owner === 'missing') continue;
      if (owner !== 'malformed' && !(await isStale(owner, answers))) return { held: false, owner };
      await removeStale(stateFolder, path, owner, answers);
      await sleep(20);
    }
  } catch (error) {
    throw asOneBitError(error, stateFolder);
  } finally {
    await rm(own, { force: true }).catch(() => {});
  }
  throw new OneBitError('busy', `${path} cannot be taken: other servers start at the same time. Try again.`);
}

async function isStale(
  owner: ProcessIdentity,
  answers: (owner: ProcessIdentity) => Promise<boolean>,
): Promise<boolean> {
  const runs = whetherRuns(owner);
  return runs === 'gone' || (runs === 'unknown' && !(await answers(owner)));
}

/** Removes the lock if it is still the stale one, alone. */
async function removeStale(
  stateFolder: string,
  path: string,
  seen: ProcessIdentity | 'malformed',
  answers: (owner: ProcessIdentity) => Promise<boolean>,
): Promise<void> {
  const takeover = join(stateFolder, takeoverFile);
  const mine = await open(takeover, 'wx', 0o600).catch(() => undefined);
  if (mine === undefined) {
    if (await isLeftBehind(takeover)) await rm(takeover, { force: true });
    return;
  }
  try {
    await mine.writeFile(JSON.stringify(identify(process.pid))).finally(() => mine.close());
    const now = await readOwner(path);
    if (now === 'missing') return;
    if (now === 'malformed' ? seen === 'malformed' : await isStale(now, answers))
      await rm(path, { force: true });
  } finally {
    await rm(takeover, { force: true });
  }
}

/** Whether whoever made the takeover file died in that very moment. */
async function isLeftBehind(takeover: string): Promise<boolean> {
  const maker = await readOwner(takeover);
  if (maker === 'missing') return false;
  if (maker !== 'malformed') return whetherRuns(maker) === 'gone';
  const made = await stat(takeover).catch(() => undefined);
  // The clock may have been set back since: then its age is negative.
  return made !== undefined && Math.abs(Date.now() - made.mtimeMs) > takeoverEmptyMs;
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

async function readOwner(path: string): Promise<ProcessIdentity | 'missing' | 'malformed'> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (asOneBitError(error).code === 'not-found') return 'missing';
    throw error;
  }
  try {
    return processIdentitySchema.parse(JSON.parse(text));
  } catch {
    return 'malformed';
  }
}

/** Removes the lock if it is still ours. Synchronous, so that a process can do it in its last moment. */
function release(path: string, identity: string): void {
  try {
    if (readFileSync(path, 'utf8') === identity) rmSync(path);
  } catch {
    // Gone already; and one that stays is found to be stale.
  }
}
