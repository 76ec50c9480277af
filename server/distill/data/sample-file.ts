import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { z } from 'zod';
import { OneBitError, asOneBitError } from '../../protocol/error.ts';
import { fileLines } from './json-lines.ts';

/** One generated text; `tokens` counts the first, random one too. */
const sampleSchema = z.object({ path: z.string(), text: z.string(), tokens: z.number().int().min(1) });
export type Sample = z.infer<typeof sampleSchema>;

/**
 * A .jsonl or .jsonl.gz file that grows a sample a line and may be interrupted at any moment. Until it is
 * complete it is `<output>.partial`: a line that says what it depends on, then the samples in their order,
 * unpacked. The output itself appears whole or not at all.
 */
export class SampleFile {
  private constructor(
    readonly output: string,
    private readonly handle: FileHandle,
    /** Bytes of the first line. */
    private readonly begin: number,
    /** Bytes up to the end of the last whole sample. */
    private end: number,
    /** The samples of an earlier, interrupted command. */
    readonly earlier: readonly Sample[],
  ) {}

  /**
   * Begins the file, or goes on with what an interrupted command left of at most `limit` samples.
   * @param definition everything that the samples depend on
   * @throws bad-request if the output exists already, is no .jsonl(.gz), or was begun with another
   * definition; no-space; unreadable
   */
  static async open(
    output: string,
    definition: Record<string, string | number>,
    limit: number,
  ): Promise<SampleFile> {
    if (!/\.jsonl(\.gz)?$/.test(output)) {
      throw new OneBitError('bad-request', `${output}: give a name that ends in .jsonl or .jsonl.gz.`);
    }
    if ((await sizeOf(output)) !== undefined) {
      throw new OneBitError('bad-request', `${output} exists already: remove it or give another name.`);
    }
    const partial = partialOf(output);
    try {
      await mkdir(dirname(output), { recursive: true });
      const header = `${JSON.stringify(definition)}\n`;
      const earlier = await readPartial(partial, header, limit);
      const handle = await open(partial, earlier === undefined ? 'w' : 'r+');
      const begin = Buffer.byteLength(header);
      if (earlier === undefined) await handle.write(header, 0);
      const file = new SampleFile(output, handle, begin, earlier?.end ?? begin, earlier?.samples ?? []);
      await handle.truncate(file.end);
      return file;
    } catch (error) {
      throw asOneBitError(error, partial);
    }
  }

  /** Throws away what an interrupted command left. */
  static async clear(output: string): Promise<void> {
    await rm(partialOf(output), { force: true });
  }

  /** Appends a sample. @throws no-space; the samples before it stay */
  async add(sample: Sample): Promise<void> {
    const bytes = Buffer.from(`${JSON.stringify(sample)}\n`);
    try {
      await this.handle.write(bytes, 0, bytes.length, this.end);
    } catch (error) {
      throw asOneBitError(error, partialOf(this.output));
    }
    this.end += bytes.length;
  }

  /** Makes the output of all samples. @throws no-space; the partial file stays, so that the command can go on */
  async finish(signal: AbortSignal | undefined): Promise<void> {
    const whole = join(dirname(this.output), `.${basename(this.output)}.new`);
    try {
      await this.handle.sync();
      const samples = createReadStream(partialOf(this.output), { start: this.begin });
      const packed = this.output.endsWith('.gz') ? createGzip() : new PassThrough();
      await pipeline(samples, packed, createWriteStream(whole, { flush: true }), { signal });
      await rename(whole, this.output);
      await rm(partialOf(this.output));
    } catch (error) {
      await rm(whole, { force: true }).catch(() => undefined);
      throw asOneBitError(error, this.output);
    }
  }

  async close(): Promise<void> {
    await this.handle.close();
  }
}

const partialOf = (output: string): string => `${output}.partial`;

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw asOneBitError(error, path);
  }
}

/** The whole samples of a partial file and where they end; undefined if there is none, or nothing in it. */
async function readPartial(
  path: string,
  header: string,
  limit: number,
): Promise<{ samples: Sample[]; end: number } | undefined> {
  const size = await sizeOf(path);
  if (size === undefined) return undefined;
  const samples: Sample[] = [];
  let end = 0;
  for await (const bytes of fileLines(path, undefined)) {
    // A line without its end was cut short by a kill.
    if (end + bytes.length + 1 > size) break;
    const line = Buffer.from(bytes).toString();
    if (end === 0) {
      requireSame(path, line, header);
    } else {
      const sample = parsed(line);
      // What follows was damaged by a power cut: it is made again.
      if (sample === undefined || samples.length === limit) break;
      samples.push(sample);
    }
    end += bytes.length + 1;
  }
  return end === 0 ? undefined : { samples, end };
}

function parsed(line: string): Sample | undefined {
  try {
    return sampleSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

function requireSame(path: string, line: string, header: string): void {
  const now = JSON.parse(header) as Record<string, unknown>;
  let before: Record<string, unknown> = {};
  try {
    before = JSON.parse(line) as Record<string, unknown>;
  } catch {
    // Not ours: every field differs.
  }
  const changed = Object.keys(now).find((field) => before[field] !== now[field]);
  if (changed === undefined) return;
  throw new OneBitError(
    'bad-request',
    `${path} was begun with ${changed} = ${JSON.stringify(before[changed])}, now it is ` +
      `${JSON.stringify(now[changed])}: give the same options to go on with it, or --restart to begin anew.`,
  );
}
