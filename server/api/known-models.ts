import { readFile, stat } from 'node:fs/promises';
import { basename, isAbsolute, join, resolve } from 'node:path';
import { z } from 'zod';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { openCheckpoint } from '../checkpoint/open-checkpoint.ts';
import { modelFolder } from '../checkpoint/starter.ts';
import { writeJson } from '../jobs/write-json.ts';
import { OneBitError } from '../protocol/error.ts';
import type { ModelSummary } from '../protocol/model.ts';
import { readChatTemplate } from '../tokenizer/chat-template.ts';
import { loadTokenizer } from '../tokenizer/load-tokenizer.ts';

/** Name of the model that the product ships. */
export const starterName = 'starter';

const modelsFile = 'models.json';
const listLimit = 50;
const modelsFileSchema = z.object({ folders: z.array(z.string()) });

/** The models that the server can name: the shipped one and those loaded before, kept in models.json. */
export class KnownModels {
  private readonly summaries = new Map<string, { modified: number; summary: ModelSummary }>();
  private folders: readonly string[] | undefined;
  private writing: Promise<void> = Promise.resolve();

  constructor(
    private readonly stateFolder: string,
    private readonly warn: (message: string) => void,
  ) {}

  /**
   * What a model is, from its headers alone.
   * @param model `starter`, or an absolute path
   * @throws bad-request (relative path), what openCheckpoint throws
   */
  async describe(model: string): Promise<ModelSummary> {
    const folder = modelFolder(model);
    if (!isAbsolute(folder)) {
      throw new OneBitError('bad-request', `model: "${model}" is a relative path. Give an absolute one.`);
    }
    const path = resolve(folder);
    const id = path === modelFolder(starterName) ? starterName : path;
    const modified = await modifiedTime(path);
    const known = this.summaries.get(path);
    if (known !== undefined && known.modified === modified) return known.summary;
    const checkpoint = await openCheckpoint(path);
    try {
      const summary: ModelSummary = {
        id,
        name: id === starterName ? 'Starter model' : basename(path),
        path,
        kind: checkpoint.kind,
        parameters: parameterCount(checkpoint),
        bytes: [...checkpoint.tensors.values()].reduce((sum, tensor) => sum + tensor.byteLength, 0),
        infill: await canInfill(path),
        chat: await canChat(path),
      };
      this.summaries.set(path, { modified, summary });
      return summary;
    } finally {
      await checkpoint.close();
    }
  }

  /** The longest context that a model was made for. @throws what openCheckpoint throws */
  async maxPositions(path: string): Promise<number> {
    const checkpoint = await openCheckpoint(path);
    await checkpoint.close();
    return checkpoint.config.maxPositions;
  }

  /** Keeps the model in the list from now on. */
  async remember(summary: ModelSummary): Promise<void> {
    const folders = await this.remembered();
    if (summary.id === starterName || folders[0] === summary.path) return;
    this.folders = [summary.path, ...folders.filter((folder) => folder !== summary.path)].slice(0, listLimit);
    await this.write();
  }

  /** Takes a model off the list; nothing on the disk is touched but the list. */
  async forget(model: string): Promise<void> {
    const folders = await this.remembered();
    if (!folders.includes(model)) return;
    this.folders = folders.filter((folder) => folder !== model);
    await this.write();
  }

  /** The shipped model first, then the others, last used first. What is no longer there is left out. */
  async list(): Promise<ModelSummary[]> {
    const models: ModelSummary[] = [];
    for (const model of [starterName, ...(await this.remembered())]) {
      const summary = await this.describe(model).catch(() => undefined);
      if (summary !== undefined) models.push(summary);
    }
    return models;
  }

  /** Folders of the models that were loaded before, last used first. */
  async remembered(): Promise<readonly string[]> {
    if (this.folders === undefined) {
      const text = await readFile(join(this.stateFolder, modelsFile), 'utf8').catch(() => '{"folders":[]}');
      try {
        this.folders ??= modelsFileSchema.parse(JSON.parse(text)).folders;
      } catch {
        this.warn(`${join(this.stateFolder, modelsFile)} cannot be read; the list of models starts anew.`);
        this.folders ??= [];
      }
    }
    return this.folders;
  }

  private async write(): Promise<void> {
    const written = { folders: this.folders };
    this.writing = this.writing
      .then(() => writeJson(join(this.stateFolder, modelsFile), written))
      .catch((error: unknown) => this.warn(error instanceof Error ? error.message : String(error)));
    await this.writing;
  }
}

/** Weights of the model, a sign counting as one; g and h come on top of them. */
function parameterCount(checkpoint: Checkpoint): number {
  let count = 0;
  for (const { name, dtype, shape } of checkpoint.tensors.values()) {
    if (name.endsWith('.weight_scale') || name.endsWith('.input_factor')) continue;
    const elements = shape.reduce((product, size) => product * size, 1);
    count += dtype === 'U8' || dtype === 'I8' ? 8 * elements : elements;
  }
  return count;
}

/** A model whose tokenizer is missing or not readable can still be loaded and inspected. */
async function canInfill(path: string): Promise<boolean> {
  return loadTokenizer(path).then(
    (tokenizer) => tokenizer.infill !== undefined,
    () => false,
  );
}

/** One whose template cannot be read still completes text. */
async function canChat(path: string): Promise<boolean> {
  return readChatTemplate(path).then(
    (template) => template !== undefined,
    () => false,
  );
}

/** Changes whenever the model's files are exchanged: the newest time of the folder and what a summary comes from. */
async function modifiedTime(path: string): Promise<number> {
  const times = await Promise.all(
    [
      path,
      join(path, 'config.json'),
      join(path, 'tokenizer_config.json'),
      join(path, 'model.safetensors'),
    ].map((file) =>
      stat(file).then(
        ({ mtimeMs }) => mtimeMs,
        () => 0,
      ),
    ),
  );
  return Math.max(...times);
}
