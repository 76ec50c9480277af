import type { OptionalFeature } from '../../gpu/adapters.ts';
import attentionMerge from './kernels/attention-merge.wgsl';
import attentionPart from './kernels/attention-part.wgsl';
import attention from './kernels/attention.wgsl';
import copyPositions from './kernels/copy-positions.wgsl';
import embedNorm from './kernels/embed-norm.wgsl';
import headGemv from './kernels/head-gemv.wgsl';
import normResidualNorm from './kernels/norm-residual-norm.wgsl';
import normRopeCache from './kernels/norm-rope-cache.wgsl';
import normSwiglu from './kernels/norm-swiglu.wgsl';
import attend from './kernels/shared/attend.wgsl';
import headF32 from './kernels/shared/head-f32.wgsl';
import headInteger from './kernels/shared/head-integer.wgsl';
import kvF16 from './kernels/shared/kv-f16.wgsl';
import kvF32 from './kernels/shared/kv-f32.wgsl';
import kvVectorF16 from './kernels/shared/kv-vector-f16.wgsl';
import kvVectorF32 from './kernels/shared/kv-vector-f32.wgsl';
import kvVectorSingle from './kernels/shared/kv-vector-single.wgsl';
import lanesSubgroups from './kernels/shared/lanes-subgroups.wgsl';
import lanesPlain from './kernels/shared/lanes.wgsl';
import layerNorm from './kernels/shared/layer-norm.wgsl';
import normedCopies from './kernels/shared/normed-copies.wgsl';
import productOutputs from './kernels/shared/product-outputs.wgsl';
import rmsNorm from './kernels/shared/rms-norm.wgsl';
import rowQuads from './kernels/shared/row-quads.wgsl';
import scaledF32 from './kernels/shared/scaled-f32.wgsl';
import scaledInteger from './kernels/shared/scaled-integer.wgsl';
import scaledPlain from './kernels/shared/scaled-plain.wgsl';
import signedF32 from './kernels/shared/signed-f32.wgsl';
import signedInteger from './kernels/shared/signed-integer.wgsl';
import sort from './kernels/shared/sort.wgsl';
import tileF32 from './kernels/shared/tile-f32.wgsl';
import tileInteger from './kernels/shared/tile-integer.wgsl';
import wordF32 from './kernels/shared/word-f32.wgsl';
import wordInteger from './kernels/shared/word-integer.wgsl';
import signGemm from './kernels/sign-gemm.wgsl';
import signGemv from './kernels/sign-gemv.wgsl';
import topBlock from './kernels/top-block.wgsl';
import topMerge from './kernels/top-merge.wgsl';

/** Which text a kernel is made of; every one is chosen by what the device has, or by the KV cache's dtype. */
export interface KernelVariant {
  /** Sums within subgroups instead of workgroup memory. */
  subgroups: boolean;
  /** fp16 pairs in the KV cache instead of f32. */
  halfCache: boolean;
  /** 1-bit products on whole numbers of 16 bits instead of f32. */
  integerProducts: boolean;
}

/**
 * What a device with these features gets. Whole numbers take a third of the instructions of f32 in 1-bit products where the
 * card multiplies four bytes at once, and move logits by less than an fp16 KV cache does. ONEBIT_GPU_PRODUCTS=integer or f32
 * asks for one. Everything else is bound by memory or small, and stays f32.
 */
export function kernelVariant(
  { features, integerDot }: { features: ReadonlySet<OptionalFeature>; integerDot: boolean },
  exact: boolean,
  products = process.env.ONEBIT_GPU_PRODUCTS,
): KernelVariant {
  return {
    subgroups: features.has('subgroups'),
    halfCache: !exact,
    integerProducts: !exact && products !== 'f32' && (integerDot || products === 'integer'),
  };
}

/** Each kernel with the shared texts that it needs. Those in quotes stand for their variant. */
const kernels = {
  'embed-norm': [embedNorm, 'lanes', 'scaled', rowQuads, 'normed', rmsNorm],
  'sign-gemv': [signGemv, 'lanes', productOutputs, 'signed', 'word'],
  'sign-gemm': [signGemm, productOutputs, 'signed', 'tile'],
  'norm-rope-cache': [normRopeCache, 'lanes', 'kv', layerNorm],
  attention: [attention, 'lanes', 'kv', 'vector', 'scaled', 'head', attend],
  'attention-part': [attentionPart, 'lanes', 'kv', 'vector', attend],
  'attention-merge': [attentionMerge, 'scaled', 'head'],
  'copy-positions': [copyPositions, 'kv'],
  'norm-residual-norm': [normResidualNorm, 'lanes', 'scaled', rowQuads, 'normed', rmsNorm],
  'norm-swiglu': [normSwiglu, 'lanes', 'scaled'],
  'head-gemv': [headGemv, 'lanes'],
  'top-block': [topBlock, 'lanes', sort],
  'top-merge': [topMerge, 'lanes', sort],
} as const;
export type KernelName = keyof typeof kernels;
export const kernelNames = Object.keys(kernels) as KernelName[];

/** Compile-time constants of a kernel: u32, bool, or f32 where marked so. */
export type KernelConstants = Record<string, number | boolean | { f32: number }>;

/**
 * The WGSL of a kernel: its constants, the shared texts, and its own file. Constants stand in the text, not in
 * pipeline overrides, because arrays of a function may not be sized by an override.
 */
export function kernelSource(name: KernelName, constants: KernelConstants, variant: KernelVariant): string {
  const lines = Object.entries(constants).map(([constant, value]) => {
    if (typeof value === 'boolean') return `const ${constant}: bool = ${value};`;
    if (typeof value === 'number') return `const ${constant}: u32 = ${value}u;`;
    return `const ${constant}: f32 = ${value.f32};`;
  });
  const [own, ...shared] = kernels[name];
  const uses = (part: string) => (shared as readonly string[]).includes(part);
  const usesSubgroups = variant.subgroups && uses('lanes');
  const usesIntegers = variant.integerProducts && takesIntegers(constants);
  // The lm_head's inputs have no g.
  const isPlain = constants.COPIES === 0;
  // Heads whose elements fill no whole vectors are read pair by pair.
  const vectors = Number(constants.HEAD_DIM ?? 0) % 8 === 0;
  const texts: Record<string, string> = {
    lanes: usesSubgroups ? lanesSubgroups : lanesPlain,
    kv: variant.halfCache ? kvF16 : kvF32,
    vector: !vectors ? kvVectorSingle : variant.halfCache ? kvVectorF16 : kvVectorF32,
    scaled: isPlain ? scaledPlain : usesIntegers ? scaledInteger : scaledF32,
    normed: isPlain ? '' : normedCopies,
    signed: usesIntegers ? signedInteger : signedF32,
    word: usesIntegers ? wordInteger : wordF32,
    tile: usesIntegers ? tileInteger : tileF32,
    head: usesIntegers ? headInteger : headF32,
  };
  const enabled = usesSubgroups ? ['enable subgroups;'] : [];
  return [...enabled, ...lines, ...shared.map((part) => texts[part] ?? part), own].join('\n');
}

/**
 * Whether a kernel's x ⊙ g may be whole numbers, where the variant has them: not those of the o product where words of 32
 * inputs span two heads, and not the lm_head's (no COPIES for linears).
 */
export function takesIntegers({ COPIES, FLOAT_INPUTS }: KernelConstants): boolean {
  return COPIES !== 0 && FLOAT_INPUTS !== true;
}

/** How each binding of a kernel is accessed, in order, read from its text. */
export function kernelBindings(name: KernelName): ('read' | 'read_write')[] {
  return [...kernels[name][0].matchAll(/@binding\(\d+\) var<storage, (read|read_write)>/g)].map(
    ([, access]) => access as 'read' | 'read_write',
  );
}
