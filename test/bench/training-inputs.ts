import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { halfBits } from '../../server/checkpoint/float-conversion.ts';
import { hfConfigJson } from '../../server/checkpoint/hf-config-json.ts';
import { projections, projectionShape, type ModelConfig } from '../../server/checkpoint/model-config.ts';
import { modelFolder } from '../../server/checkpoint/starter.ts';
import { writeCheckpoint } from '../../server/checkpoint/write-checkpoint.ts';
import type { TensorSource } from '../../server/checkpoint/checkpoint.ts';
import { Random } from '../../server/distill/random.ts';
import { openTrainingData } from '../../server/distill/data/training-data.ts';
import { loadTokenizer } from '../../server/tokenizer/load-tokenizer.ts';

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
  const random = new Random(1, 'teacher');
  const tensors: TensorSource[] = [];
  const add = (name: string, size: number[], value: () => number) => {
    const values = Uint16Array.from({ length: size.reduce((a, b) => a * b, 1) }, () => halfBits(value()));
    tensors.push({ name, dtype: 'F16', shape: size, bytes: () => new Uint8Array(values.buffer) });
  };
  const normal = () => random.normal() * 0.02;
  const one = () => 1;
  add('model.embed_tokens.weight', [config.vocabSize, config.hiddenSize], normal);
  for (let layer = 0; layer < config.layers; layer++) {
    const block = `model.layers.${layer}.`;
    add(`${block}input_layernorm.weight`, [config.hiddenSize], one);
    add(`${block}post_attention_layernorm.weight`, [config.hiddenSize], one);
    for (const name of projections) add(`${block}${name}.weight`, projectionShape(config, name), normal);
  }
  add('model.norm.weight', [config.hiddenSize], one);
  add('lm_head.weight', [config.vocabSize, config.hiddenSize], normal);
  await writeCheckpoint(folder, { config: hfConfigJson(config, 'full'), tensors, replace: true });
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
