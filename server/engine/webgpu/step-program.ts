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
  /** Workgroups: fixed numbers, or one for each row of the step ('rows'), or one for each tile of rows. */
  groups: [number | 'rows', (number | 'rows' | 'tiles')?, number?];
}

/** Outputs that a workgroup of a product makes: they share the inputs they read. */
const outputs = 4;
const tile = 32;
const lanes = { linear: 64, row: 256, attention: 128 };

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
): Dispatch[] {
  const { config, contextLength } = shape;
  const { hiddenSize, intermediateSize, heads, kvHeads, headDim, layers } = config;
  const banks = cacheBanks(shape, limit);
  const row = { WORKGROUP: lanes.row, SUMS: 1, MAX_ROWS: maxRows };
  const norms = { RMS_EPS: { f32: config.rmsNormEps }, LAYER_NORM_EPS: { f32: config.layerNormEps } };
  const hidden = { HIDDEN: hiddenSize, WORDS: signWords(hiddenSize) };
  const program: Dispatch[] = [
    {
      kernel: 'embed-norm',
      constants: { ...row, ...hidden, RMS_EPS: norms.RMS_EPS, COPIES: 3 },
      bindings: ['embedded', 'hidden', 'layers.0.inputNorm', 'layers.0.qkv.g', 'scaledHidden'],
      groups: ['rows'],
    },
  ];
  for (let layer = 0; layer < layers; layer++) {
    const block = `layers.${layer}.`;
    const bias = (group: LinearGroup) => `${block}${group}.${hasBias(config, group) ? 'bias' : 'h'}`;
    const product = (group: LinearGroup, scaled: string) =>
      program.push(signProduct(config, group, block, scaled, batch));

    product('qkv', 'scaledHidden');
    banks.forEach((_, bank) => {
      program.push({
        kernel: 'norm-rope-cache',
        constants: {
          WORKGROUP: lanes.row,
          SUMS: 1,
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
        groups: [3, 'rows'],
      });
    });
    const attention = {
      WORKGROUP: Math.max(lanes.attention, headDim / 2),
      SUMS: 1,
      HEADS: heads,
      KV_HEADS: kvHeads,
      HEAD_DIM: headDim,
      CONTEXT: contextLength,
    };
    const output = { MAX_ROWS: maxRows, WORDS: signWords(heads * headDim) };
    banks.forEach((_, bank) => {
      const inputs = ['queries', 'rows', `${block}keys.${bank}`, `${block}values.${bank}`];
      program.push(
        isSplit
          ? {
              kernel: 'attention-part',
              constants: { ...attention, BANK: bank, CHUNKS: attentionChunks },
              bindings: [...inputs, 'attendedParts'],
              groups: [heads, 'rows', attentionChunks],
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
          WORKGROUP: lanes.linear,
          HEADS: heads,
          HEAD_DIM: headDim,
          CHUNKS: attentionChunks,
        },
        bindings: ['attendedParts', `${block}o.g`, 'scaledAttended'],
        groups: [heads, 'rows'],
      });
    }
    product('o', 'scaledAttended');
    program.push({
      kernel: 'norm-residual-norm',
      constants: { ...row, ...hidden, ...norms, COPIES: 2, BIAS: hasBias(config, 'o') },
      bindings: ['raw', bias('o'), 'hidden', `${block}postNorm`, `${block}gateUp.g`, 'scaledHidden'],
      groups: ['rows'],
    });
    product('gateUp', 'scaledHidden');
    program.push({
      kernel: 'norm-swiglu',
      constants: {
        ...row,
        LAYER_NORM_EPS: norms.LAYER_NORM_EPS,
        INTERMEDIATE: intermediateSize,
        WORDS: signWords(intermediateSize),
        BIAS: hasBias(config, 'gateUp'),
      },
      bindings: ['raw', bias('gateUp'), `${block}down.g`, 'scaledMlp'],
      groups: ['rows'],
    });
    product('down', 'scaledMlp');
    const next = `layers.${layer + 1}.`;
    const last = layer === layers - 1;
    program.push({
      kernel: 'norm-residual-norm',
      constants: { ...row, ...hidden, ...norms, COPIES: last ? 0 : 3, BIAS: hasBias(config, 'down') },
      bindings: last
        ? ['raw', bias('down'), 'hidden', 'norm', 'norm', 'normed']
        : ['raw', bias('down'), 'hidden', `${next}inputNorm`, `${next}qkv.g`, 'scaledHidden'],
      groups: ['rows'],
    });
  }
  return program;
}

function signProduct(
  config: ModelConfig,
  group: LinearGroup,
  block: string,
  scaled: string,
  batch: number | 'prefill',
): Dispatch {
  const { inSize, outs } = groupShape(config, group);
  const [out0 = 0, out1 = 0, out2 = 0] = outs;
  const constants = {
    OUT_0: out0,
    OUT_1: out1,
    OUT_2: out2,
    WORDS: signWords(inSize),
    MAX_ROWS: maxRows,
  };
  const bindings = [`${block}${group}.signs`, `${block}${group}.h`, scaled, 'raw'];
  const groupsOf = (size: number) => outs.reduce((sum, out) => sum + Math.ceil(out / size), 0);
  if (batch === 'prefill') {
    return { kernel: 'sign-gemm', constants, bindings, groups: [groupsOf(tile), 'tiles'] };
  }
  return {
    kernel: 'sign-gemv',
    constants: {
      ...constants,
      WORKGROUP: lanes.linear,
      OUTPUTS: outputs,
      BATCH: batch,
      SUMS: outputs * batch,
    },
    bindings,
    groups: [groupsOf(outputs)],
  };
}

/** The dispatches that make the logits of `batch` wanted rows (1, 2, 4 or 8). */
export function headProgram({ config }: GpuEngineShape, batch: number, limit?: number): Dispatch[] {
  return headPieces(config, limit).map(({ first, count }, piece) => ({
    kernel: 'head-gemv',
    constants: {
      WORKGROUP: lanes.linear,
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
  const constants = { WORKGROUP: lanes.row, SUMS: 1, BLOCKS: blocks, TOP: top };
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
