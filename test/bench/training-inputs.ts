import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelConfig } from '../../server/checkpoint/model-config.ts';
import { modelFolder } from '../../server/checkpoint/starter.ts';
import { openTrainingData } from '../../server/distill/data/training-data.ts';
import { loadTokenizer } from '../../server/tokenizer/load-tokenizer.ts';
import { writeRandomModel } from './model-shape.ts';

export interface TrainingShape {
  hiddenSize: number;
  intermediateSize: number;
  layers: number;
  heads: number;
  kvHeads: number;
  maxPositions: number;
}

/** The step that DESIGN.md's table was measured with: untied head, vocabulary of the starter's 4096. */
export const tableShape: TrainingShape = {
  hiddenSize: 288,
  intermediateSize: 768,
  layers: 6,
  heads: 6,
  kvHeads: 6,
  maxPositions: 256,
};

const starterTokenizer = modelFolder('starter-teacher');

/** A teacher of random weights (fp16, deviation 0.02) with the starter's tokenizer. */
export async function writeRandomTeacher(folder: string, shape: TrainingShape): Promise<void> {
  const tokenizer = await loadTokenizer(starterTokenizer);
  const config: ModelConfig = {
    architecture: 'llama',
    ...shape,
    headDim: shape.hiddenSize / shape.heads,
    vocabSize: tokenizer.vocabSize,
    rmsNormEps: 1e-5,
    ropeTheta: 10000,
    tieEmbeddings: false,
    attentionBias: false,
    mlpBias: false,
    layerNormEps: 1e-5,
    bosTokenId: tokenizer.bosId,
    eosTokenIds: [...tokenizer.eosIds],
  };
  await writeRandomModel(folder, config, 'full');
  for (const file of ['tokenizer.json', 'tokenizer_config.json']) {
    await copyFile(join(starterTokenizer, file), join(folder, file));
  }
}

/** The windows that `onebit distill` reads with these options, as `[count, window + 1]` int32. */
export async function writeWindows(
  file: string,
  options: { teacher: string; data: string[]; window: number; count: number },
): Promise<void> {
  const { windows } = await openTrainingData(
    {
      data: options.data,
      heldOut: [],
      heldOutShare: 0.02,
      heldOutWindows: 24,
      window: options.window,
      seed: 0,
      infillRate: undefined,
      infillSplit: 'mixed',
    },
    await loadTokenizer(options.teacher),
    {},
  );
  const ids = Array.from({ length: options.count }, () => windows.next());
  const all = new Int32Array(options.count * (options.window + 1));
  ids.forEach((each, i) => all.set(each, i * (options.window + 1)));
  await writeFile(file, new Uint8Array(all.buffer));
}
