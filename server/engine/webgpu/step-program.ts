import type { ModelConfig } from '../../checkpoint/model-config.ts';
import {
  attentionChunks,
  cacheBanks,
  groupShape,
  hasBias,
  headPieces,
  maxRows,
  maxTop,
  signWords,
  topBlockTokens,
  type GpuEngineShape,
  type LinearGroup,
} from './buffer-plan.ts';
import type { KernelConstants, KernelName } from './kernel-source.ts';

/** One dispatch of a program. Bindings are buffers of `planBuffers`, by name, in the kernel's order. */
export interface Dispatch {
  kernel: KernelName;
  constants: KernelConstants;
  bindings: string[];
  /**
   * Workgroups: fixed numbers, or one for each row of the step ('rows'), for each tile of rows, or for so many positions of
   * the longest context.
   */
  groups: [number | 'rows', (number | 'rows' | 'tiles')?, { positions: number }?];
}

/** How a product divides its work. */
export interface ProductTuning {
  /** Lanes of a workgroup: they take words of the inputs in turn. */
  lanes: number;
  /** Outputs that a workgroup makes: they share the inputs that it reads. */
  outputs: number;
}

/** How the kernels divide their work among lanes: what a benchmark may vary. */
export interface Tuning {
  /**
   * A 1-bit product, or the lm_head, of decoding rows.
   * @param words of 32 inputs
   * @param outputs of all its linears
   */
  product(batch: number, words: number, outputs: number): ProductTuning;
  head(batch: number): ProductTuning;
  /** Lanes, at most, that make one whole row, or parts of one. */
  rowLanes: number;
  partLanes: number;
  attentionLanes: number;
}

/**
 * As an H200 was fastest (docs/gpu.md). Many rows have no registers left for many lanes' sums; a product of few outputs
 * needs more workgroups to fill a card, one of long rows more lanes to a row.
 */
export const tunings: Tuning = {
  product: (batch, words, outputs) =>
    batch > 2
      ? { lanes: 32, outputs: 4 }
      : { lanes: words > 256 ? 128 : 64, outputs: outputs < 8192 ? 2 : 4 },
  head: (batch) => (batch > 2 ? { lanes: 32, outputs: 2 } : { lanes: 64, outputs: 4 }),
  rowLanes: 1024,
  partLanes: 256,
  attentionLanes: 128,
};

/** The same for a device whose workgroups have at most so many lanes. */
export function tuningWithin(mostLanes: number): Tuning {
  return { ...tunings, rowLanes: Math.min(tunings.rowLanes, mostLanes) };
}

const tile = 32;
const searchLanes = 256;

/** Lanes for so many quads of a row: a power of two, and no more than `most`. */
function lanesFor(quads: number, most: number): number {
  return Math.min(most, Math.max(64, 2 ** Math.ceil(Math.log2(quads))));
}

/**
 * The dispatches from the embedding to the last RMSNorm: one, and nine a layer (two more for each further bank
 * of the KV cache).
 * @param batch rows of the decode kernels: 1, 2, 4 or 8; or 'prefill' for up to maxRows in tiles
 * @param isSplit the attention of decoding rows in parts, which one more dispatch a layer puts together
 */
export function layersProgram(
  shape: GpuEngineShape,
  batch: number | 'prefill',
  limit?: number,
  isSplit = false,
  tuning = tunings,
): Dispatch[] {
  const { rowLanes, partLanes, attentionLanes } = tuning;
  const { config, contextLength } = shape;
  const { hiddenSize, intermediateSize, heads, kvHeads, headDim, layers } = config;
  const banks = cacheBanks(shape, limit);
  const norms = { RMS_EPS: { f32: config.rmsNormEps }, LAYER_NORM_EPS: { f32: config.layerNormEps } };
  const hidden = {
    WORKGROUP: lanesFor(8 * signWords(hiddenSize), rowLanes),
    SUMS: 1,
    MAX_ROWS: maxRows,
    HIDDEN: hiddenSize,
    WORDS: signWords(hiddenSize),
  };
  const mlpQuads = 8 * signWords(intermediateSize);
  const mlpLanes = lanesFor(mlpQuads, partLanes);
  const [queryPairs, kvPairs] = [(heads * headDim) / 2, (kvHeads * headDim) / 2];
  const pairLanes = lanesFor(Math.max(queryPairs, kvPairs), partLanes);
  const program: Dispatch[] = [
    {
      kernel: 'embed-norm',
      constants: { ...hidden, RMS_EPS: norms.RMS_EPS, COPIES: 3 },
      bindings: ['embedded', 'hidden', 'layers.0.inputNorm', 'layers.0.qkv.g', 'scaledHidden'],
      groups: ['rows'],
    },
  ];
  for (let layer = 0; layer < layers; layer++) {
    const block = `layers.${layer}.`;
    const bias = (group: LinearGroup) => `${block}${group}.${hasBias(config, group) ? 'bias' : 'h'}`;
    const product = (group: LinearGroup, scaled: string) =>
      program.push(signProduct(config, group, block, scaled, batch, tuning));

    product('qkv', 'scaledHidden');
    banks.forEach((_, bank) => {
      program.push({
        kernel: 'norm-rope-cache',
        constants: {
          WORKGROUP: pairLanes,
          SUMS: 1,
          MOST_PAIRS: Math.max(queryPairs, kvPairs),
          LAYER_NORM_EPS: norms.LAYER_NORM_EPS,
          Q_SIZE: heads * headDim,
          KV_SIZE: kvHeads * headDim,
          HEAD_DIM: headDim,
          CONTEXT: contextLength,
          BANK: bank,
          BIAS: hasBias(config, 'qkv'),
        },
        bindings: [
          'raw',
          bias('qkv'),
          'rows',
          'turns',
          'queries',
          `${block}keys.${bank}`,
          `${block}values.${bank}`,
        ],
        groups: [Math.ceil(queryPairs / pairLanes) + 2 * Math.ceil(kvPairs / pairLanes), 'rows'],
      });
    });
    const attention = {
      WORKGROUP: Math.max(attentionLanes, headDim / 2),
      SUMS: 1,
      HEADS: heads,
      KV_HEADS: kvHeads,
      HEAD_DIM: headDim,
      CONTEXT: contextLength,
      BLOCK: attentionBlock(headDim),
    };
    const output = {
      MAX_ROWS: maxRows,
      WORDS: signWords(heads * headDim),
      COPIES: 1,
      FLOAT_INPUTS: headDim % 32 !== 0,
    };
    const chunks = attentionChunks(contextLength);
    const parts = { CHUNK: chunks.positions, CHUNKS: chunks.most };
    banks.forEach((_, bank) => {
      const inputs = ['queries', 'rows', `${block}keys.${bank}`, `${block}values.${bank}`];
      program.push(
        isSplit
          ? {
              kernel: 'attention-part',
              constants: { ...attention, ...parts, BANK: bank },
              bindings: [...inputs, 'attendedParts'],
              groups: [heads, 'rows', chunks],
            }
          : {
              kernel: 'attention',
              constants: { ...attention, ...output, BANK: bank },
              bindings: [...inputs, `${block}o.g`, 'scaledAttended'],
              groups: [heads, 'rows'],
            },
      );
    });
    if (isSplit) {
      program.push({
        kernel: 'attention-merge',
        constants: {
          ...output,
          ...parts,
          WORKGROUP: lanesFor(headDim / 2, partLanes),
          HEADS: heads,
          HEAD_DIM: headDim,
        },
        bindings: ['attendedParts', 'rows', `${block}o.g`, 'scaledAttended'],
        groups: [heads, 'rows'],
      });
    }
    product('o', 'scaledAttended');
    program.push({
      kernel: 'norm-residual-norm',
      constants: { ...hidden, ...norms, COPIES: 2, BIAS: hasBias(config, 'o') },
      bindings: ['raw', bias('o'), 'hidden', `${block}postNorm`, `${block}gateUp.g`, 'scaledHidden'],
      groups: ['rows'],
    });
    product('gateUp', 'scaledHidden');
    program.push({
      kernel: 'norm-swiglu',
      constants: {
        WORKGROUP: mlpLanes,
        SUMS: 2,
        COPIES: 1,
        MAX_ROWS: maxRows,
        LAYER_NORM_EPS: norms.LAYER_NORM_EPS,
        INTERMEDIATE: intermediateSize,
        WORDS: signWords(intermediateSize),
        BIAS: hasBias(config, 'gateUp'),
      },
      bindings: ['raw', bias('gateUp'), `${block}down.g`, 'scaledMlp'],
      groups: [Math.ceil(mlpQuads / mlpLanes), 'rows'],
    });
    product('down', 'scaledMlp');
    const next = `layers.${layer + 1}.`;
    const last = layer === layers - 1;
    program.push({
      kernel: 'norm-residual-norm',
      constants: { ...hidden, ...norms, COPIES: last ? 0 : 3, BIAS: hasBias(config, 'down') },
      bindings: last
        ? ['raw', bias('down'), 'hidden', 'norm', 'norm', 'normed']
        : ['raw', bias('down'), 'hidden', `${next}inputNorm`, `${next}qkv.g`, 'scaledHidden'],
      groups: ['rows'],
    });
  }
  return program;
}

/** Positions that a workgroup of attention takes at a time: its lanes' parts of their scores have to fit its memory. */
function attentionBlock(headDim: number): number {
  const vectors = headDim % 8 === 0 ? headDim / 8 : headDim / 2;
  return Math.min(64, Math.floor(2048 / (vectors + 1)));
}

function signProduct(
  config: ModelConfig,
  group: LinearGroup,
  block: string,
  scaled: string,
  batch: number | 'prefill',
  tuning: Tuning,
): Dispatch {
  const { inSize, outs } = groupShape(config, group);
  const { lanes, outputs } =
    batch === 'prefill'
      ? { lanes: 64, outputs: tile }
      : tuning.product(
          batch,
          signWords(inSize),
          outs.reduce((sum, out) => sum + out, 0),
        );
  const [out0 = 0, out1 = 0, out2 = 0] = outs;
  const constants = {
    OUT_0: out0,
    OUT_1: out1,
    OUT_2: out2,
    WORDS: signWords(inSize),
    MAX_ROWS: maxRows,
    SPAN: outputs,
    FLOAT_INPUTS: group === 'o' && config.headDim % 32 !== 0,
  };
  const bindings = [`${block}${group}.signs`, `${block}${group}.h`, scaled, 'raw'];
  const groupsOf = (size: number) => outs.reduce((sum, out) => sum + Math.ceil(out / size), 0);
  if (batch === 'prefill') {
    return { kernel: 'sign-gemm', constants, bindings, groups: [groupsOf(outputs), 'tiles'] };
  }
  return {
    kernel: 'sign-gemv',
    constants: {
      ...constants,
      WORKGROUP: lanes,
      BATCH: batch,
      SUMS: outputs * batch,
    },
    bindings,
    groups: [groupsOf(outputs)],
  };
}

/** The dispatches that make the logits of `batch` wanted rows (1, 2, 4 or 8). */
export function headProgram(
  { config }: GpuEngineShape,
  batch: number,
  limit?: number,
  tuning = tunings,
): Dispatch[] {
  const { lanes, outputs } = tuning.head(batch);
  return headPieces(config, limit).map(({ first, count }, piece) => ({
    kernel: 'head-gemv',
    constants: {
      WORKGROUP: lanes,
      SUMS: outputs * batch,
      OUTPUTS: outputs,
      BATCH: batch,
      HIDDEN: config.hiddenSize,
      VOCABULARY: config.vocabSize,
      FIRST: first,
      TOKENS: count,
    },
    bindings: [`head.${piece}`, 'normed', 'wanted', 'logits'],
    groups: [Math.ceil(count / outputs)],
  }));
}

/** The dispatches that find the `top` (1 or maxTop) most likely tokens of the rows of `logits`. */
export function topProgram({ config }: GpuEngineShape, top = maxTop): Dispatch[] {
  const blocks = Math.ceil(config.vocabSize / topBlockTokens);
  const constants = { WORKGROUP: searchLanes, SUMS: 1, BLOCKS: blocks, TOP: top };
  return [
    {
      kernel: 'top-block',
      constants: { ...constants, VOCABULARY: config.vocabSize },
      bindings: ['logits', 'candidates', 'topBlocks'],
      groups: [blocks, 'rows'],
    },
    { kernel: 'top-merge', constants, bindings: ['candidates', 'topBlocks', 'top'], groups: ['rows'] },
  ];
}

/** The dispatches that copy positions from one sequence of a bank of the KV cache to another, in every layer. */
export function copyProgram({ config }: GpuEngineShape, bank: number): Dispatch[] {
  return Array.from({ length: config.layers }, (_, layer) => ({
    kernel: 'copy-positions',
    constants: { WORKGROUP: searchLanes },
    bindings: ['rows', `layers.${layer}.keys.${bank}`, `layers.${layer}.values.${bank}`],
    groups: [256],
  }));
}
