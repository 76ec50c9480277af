import { OneBitError } from '../protocol/error.ts';
import type { TensorInfo } from './checkpoint.ts';
import { DataFile } from './data-file.ts';

/** The opened files of one checkpoint. Whoever made it closes it. */
export class TensorFiles {
  readonly #files = new Map<string, DataFile>();

  /** @throws not-found, unreadable, bad-file */
  async open(path: string): Promise<DataFile> {
    const opened = this.#files.get(path);
    if (opened !== undefined) return opened;
    const file = await DataFile.open(path);
    this.#files.set(path, file);
    return file;
  }

  /** The file that holds the tensor. */
  fileOf(tensor: TensorInfo): DataFile {
    const file = this.#files.get(tensor.file);
    if (file === undefined) {
      throw new OneBitError('internal', `${tensor.file} was closed before its tensors were read.`);
    }
    return file;
  }

  async close(): Promise<void> {
    const files = [...this.#files.values()];
    this.#files.clear();
    await Promise.all(files.map((file) => file.close()));
  }
}
