import type { TensorSource } from '../../server/checkpoint/checkpoint.ts';
import { halfBits } from '../../server/checkpoint/float-conversion.ts';
import { hfConfigJson } from '../../server/checkpoint/hf-config-json.ts';
import { projections, projectionShape, type ModelConfig } from '../../server/checkpoint/model-config.ts';
import { packedRowBytes } from '../../server/checkpoint/sign-packing.ts';
import { writeCheckpoint } from '../../server/checkpoint/write-checkpoint.ts';
import type { OnProgress } from '../../server/protocol/progress.ts';

const llama = {
  architecture: 'llama',
  vocabSize: 32000,
  maxPositions: 4096,
  rmsNormEps: 1e-5,
  ropeTheta: 10000,
  tieEmbeddings: false,
  attentionBias: false,
  mlpBias: false,
  layerNormEps: 1e-5,
  bosTokenId: 1,
  eosTokenIds: [2],
} as const;

/** Shapes to measure with: LLaMA-7B, TinyLlama-1.1B, and one that is quick to write. */
export const shapes = {
  '7b': { hiddenSize: 4096, intermediateSize: 11008, layers: 32, heads: 32, kvHeads: 32, headDim: 128 },
  '1.1b': { hiddenSize: 2048, intermediateSize: 5632, layers: 22, heads: 32, kvHeads: 4, headDim: 64 },
  '100m': { hiddenSize: 768, intermediateSize: 2048, layers: 12, heads: 12, kvHeads: 12, headDim: 64 },
} as const;
export type ShapeName = keyof typeof shapes;

/** The config of a model of that shape. */
export function configOfShape(shape: ShapeName): ModelConfig {
  return { ...llama, eosTokenIds: [2], ...shapes[shape] };
}

/**
 * Writes a model of real shape with random weights: what speed and memory depend on, at no download.
 * @param kind `full`: fp16 (7b: 13.5 GB); `onebit`: packed signs (7b: 1.34 GB)
 */
export async function writeShape(
  folder: string,
  shape: ShapeName,
  kind: 'full' | 'onebit',
  options: { signal?: AbortSignal; onProgress?: OnProgress } = {},
): Promise<void> {
  await writeRandomModel(folder, configOfShape(shape), kind, { ...options, shape });
}

/** The same for a model of any config: weights of deviation 0.02, gains and value vectors of 1. */
export async function writeRandomModel(
  folder: string,
  config: ModelConfig,
  kind: 'full' | 'onebit',
  { shape, ...options }: { shape?: ShapeName; signal?: AbortSignal; onProgress?: OnProgress } = {},
): Promise<void> {
  const random = randomNumbers(1);
  const normal = normalHalves(random);
  const tensors: TensorSource[] = [];
  const halves = (name: string, size: number[], scale: number) => {
    const table = Uint16Array.from(normal, (value) => halfBits(value * scale));
    const count = size.reduce((a, b) => a * b, 1);
    tensors.push({ name, dtype: 'F16', shape: size, bytes: () => randomHalves(count, table, random) });
  };
  const ones = (name: string, size: number) =>
    tensors.push({
      name,
      dtype: 'F16',
      shape: [size],
      bytes: () => new Uint8Array(new Uint16Array(size).fill(halfBits(1)).buffer),
    });
  halves('model.embed_tokens.weight', [config.vocabSize, config.hiddenSize], 0.02);
  for (let layer = 0; layer < config.layers; layer++) {
    const block = `model.layers.${layer}.`;
    ones(`${block}input_layernorm.weight`, config.hiddenSize);
    ones(`${block}post_attention_layernorm.weight`, config.hiddenSize);
    for (const projection of projections) {
      const name = block + projection;
      const [out, inner] = projectionShape(config, projection);
      if (kind === 'full') {
        halves(`${name}.weight`, [out, inner], 0.02);
        continue;
      }
      const row = packedRowBytes(inner, name);
      tensors.push({
        name: `${name}.weight`,
        dtype: 'U8',
        shape: [out, row],
        bytes: () => randomBytes(out * row, random),
      });
      ones(`${name}.weight_scale`, out);
      ones(`${name}.input_factor`, inner);
    }
  }
  ones('model.norm.weight', config.hiddenSize);
  if (!config.tieEmbeddings) halves('lm_head.weight', [config.vocabSize, config.hiddenSize], 0.02);
  await writeCheckpoint(folder, {
    config: hfConfigJson(config, kind),
    tensors,
    onebit: { made_by: 'test/bench/model-shape.ts', shape, weights: 'random' },
    replace: true,
    ...options,
  });
}

/** Marsaglia's xorshift: 32 random bits a call, the same for the same seed. */
function randomNumbers(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state;
  };
}

/** 65536 samples of a normal distribution, so that 16 random bits pick one. */
function normalHalves(random: () => number): Float64Array {
  const uniform = () => ((random() >>> 0) + 0.5) / 2 ** 32;
  return Float64Array.from(
    { length: 65536 },
    () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()),
  );
}

function randomHalves(count: number, table: ArrayLike<number>, random: () => number): Uint8Array {
  const halves = new Uint16Array(count);
  for (let i = 0; i < count; i += 2) {
    const bits = random();
    halves[i] = table[bits & 0xffff] as number;
    halves[i + 1] = table[bits >>> 16] as number;
  }
  return new Uint8Array(halves.buffer);
}

function randomBytes(count: number, random: () => number): Uint8Array {
  const words = new Uint32Array(Math.ceil(count / 4));
  for (let i = 0; i < words.length; i++) words[i] = random();
  return new Uint8Array(words.buffer, 0, count);
}
