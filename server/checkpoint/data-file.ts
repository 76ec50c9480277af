import { open, stat, type FileHandle } from 'node:fs/promises';
import { asOneBitError, OneBitError, throwIfCancelled } from '../protocol/error.ts';

/** Bytes of one read: small enough that an abort takes effect at once, and far from the kernel's 2 GiB limit. */
const readSize = 8 << 20;

/** A file read by position. Owned by the checkpoint that opened it. */
export class DataFile {
  private constructor(
    readonly path: string,
    readonly size: number,
    private readonly handle: FileHandle,
  ) {}

  /** @throws not-found, unreadable, or bad-file for a folder or device. */
  static async open(path: string): Promise<DataFile> {
    let handle: FileHandle | undefined;
    try {
      // Looked at first: opening a named pipe would wait for a writer.
      if (!(await stat(path)).isFile()) {
        throw new OneBitError(
          'bad-file',
          `${path} is not a regular file: give the file or folder of a model.`,
        );
      }
      handle = await open(path, 'r');
      return new DataFile(path, (await handle.stat()).size, handle);
    } catch (caught) {
      await handle?.close();
      throw asOneBitError(caught, path);
    }
  }

  /**
   * Fills `into` from `offset` on.
   * @throws bad-file if the file ends before that.
   */
  async read(into: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    for (let done = 0; done < into.byteLength;) {
      throwIfCancelled(signal);
      let count: number;
      try {
        const length = Math.min(readSize, into.byteLength - done);
        count = (await this.handle.read(into, done, length, offset + done)).bytesRead;
      } catch (caught) {
        throw asOneBitError(caught, this.path);
      }
      if (count === 0) {
        throw new OneBitError(
          'bad-file',
          `${this.path} ends at byte ${offset + done}, before the data that it should hold: it was cut short; copy or download it again.`,
        );
      }
      done += count;
    }
  }

  /** Calls `take` with each part of a range in turn; the part's bytes are only valid during the call. */
  async readParts(
    offset: number,
    length: number,
    take: (part: Uint8Array, start: number) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const buffer = new Uint8Array(Math.min(readSize, length));
    for (let start = 0; start < length; start += readSize) {
      const part = buffer.subarray(0, Math.min(readSize, length - start));
      await this.read(part, offset + start, signal);
      take(part, start);
    }
  }

  async close(): Promise<void> {
    await this.handle.close();
  }
}
