import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { identify, processIdentitySchema, whetherRuns } from '../process-identity.ts';
import type { GpuAdapterInfo } from './adapters.ts';

/** A card with its driver: another version of the driver is another chance. */
export type GpuDriver = Pick<GpuAdapterInfo, 'name' | 'driver'>;

/** Stands for the search for adapters, which loads every driver of the machine. */
export const searchForGpus: GpuDriver = { name: 'the search for GPUs', driver: '' };

const markSchema = z.object({
  process: processIdentitySchema,
  name: z.string(),
  driver: z.string(),
  /** `opening`: device, memory, kernels and weights; `computing` after that. */
  phase: z.enum(['opening', 'computing']),
  /** ISO 8601. */
  since: z.string(),
});
type Mark = z.infer<typeof markSchema>;

/** The mark of one use, which its owner ends. */
export interface GpuUse {
  /** The model is on the card. */
  computes(): void;
  /** The card is given back, in whatever way but the death of the process. */
  end(): void;
}

/** Deaths while computing that count together: one may be a person's kill or a full memory, two are a pattern. */
const patternMs = 24 * 60 * 60 * 1000;
const mostMarks = 64;

/**
 * Which processes use which GPU, on disk, so that a driver that kills them is known by the marks they leave: `auto`
 * then takes another device, instead of crashing again at every start. One file a use, written before the driver is
 * called; a folder that cannot be written costs the precaution, and nothing else.
 */
export class CrashJournal {
  private uses = 0;

  constructor(private readonly folder: string) {}

  /**
   * Why `auto` should not take a card: a process died while it opened it, or two within a day while they computed. Marks
   * of another boot count only for opening: a machine is switched off while a model is loaded, and seldom in that moment.
   */
  avoid({ name, driver }: GpuDriver, now = Date.now()): string | undefined {
    const boot = identify(process.pid).bootId;
    const deaths = this.leftBehind().filter((mark) => mark.name === name && mark.driver === driver);
    const opening = deaths.find(({ phase }) => phase === 'opening');
    const computing = deaths.filter(
      ({ phase, since, process: { bootId } }) =>
        phase === 'computing' && bootId === boot && Math.abs(now - Date.parse(since)) < patternMs,
    );
    const last = opening ?? (computing.length > 1 ? computing.at(-1) : undefined);
    if (last === undefined) return undefined;
    const how = last.phase === 'opening' ? 'opened' : 'used';
    return `a process that ${how} ${name} was killed (${last.since}); --device gpu:NAME, or the setting onebit.device, tries it again`;
  }

  /** Notes on disk that this process is about to use a card. */
  begin({ name, driver }: GpuDriver): GpuUse {
    const file = join(this.folder, `${process.pid}-${++this.uses}.json`);
    const mark: Mark = {
      process: identify(process.pid),
      name,
      driver,
      phase: 'opening',
      since: new Date().toISOString(),
    };
    let ended = false;
    const end = () => {
      if (ended) return;
      ended = true;
      process.off('exit', end);
      rmSync(file, { force: true });
    };
    // However this process ends by itself: that is no crash.
    process.on('exit', end);
    this.write(file, mark);
    return {
      computes: () => {
        if (!ended) this.write(file, { ...mark, phase: 'computing', since: new Date().toISOString() });
      },
      end,
    };
  }

  /** Forgets deaths that a card caused, of one phase or of both: it was asked for, and has worked. */
  forgive({ name, driver }: GpuDriver, only?: Mark['phase']): void {
    for (const mark of this.leftBehind()) {
      const isMeant = mark.name === name && mark.driver === driver && (only ?? mark.phase) === mark.phase;
      if (isMeant) rmSync(mark.file, { force: true });
    }
  }

  /** Marks of processes that are gone, oldest first; files that say nothing are removed. */
  private leftBehind(): (Mark & { file: string })[] {
    const marks: (Mark & { file: string })[] = [];
    for (const name of this.files()) {
      const file = join(this.folder, name);
      try {
        const mark = markSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
        if (whetherRuns(mark.process) === 'gone') marks.push({ ...mark, file });
      } catch {
        rmSync(file, { force: true });
      }
    }
    marks.sort((a, b) => a.since.localeCompare(b.since));
    for (const { file } of marks.splice(0, Math.max(0, marks.length - mostMarks)))
      rmSync(file, { force: true });
    return marks;
  }

  private files(): string[] {
    try {
      return readdirSync(this.folder).filter((name) => /^\d+-\d+\.json$/.test(name));
    } catch {
      return [];
    }
  }

  private write(file: string, mark: Mark): void {
    const partial = `${file}.partial`;
    try {
      mkdirSync(this.folder, { recursive: true, mode: 0o700 });
      const handle = openSync(partial, 'w', 0o600);
      try {
        writeSync(handle, JSON.stringify(mark));
        fsyncSync(handle);
      } finally {
        closeSync(handle);
      }
      renameSync(partial, file);
    } catch {
      rmSync(partial, { force: true });
    }
  }
}
