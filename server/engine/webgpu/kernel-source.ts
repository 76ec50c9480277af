import type { OptionalFeature } from '../../gpu/adapters.ts';
import attentionMerge from './kernels/attention-merge.wgsl';
import attentionPart from './kernels/attention-part.wgsl';
import attention from './kernels/attention.wgsl';
import embedNorm from './kernels/embed-norm.wgsl';
import headGemv from './kernels/head-gemv.wgsl';
import normResidualNorm from './kernels/norm-residual-norm.wgsl';
import normRopeCache from './kernels/norm-rope-cache.wgsl';
import normSwiglu from './kernels/norm-swiglu.wgsl';
import attend from './kernels/shared/attend.wgsl';
import kvF16 from './kernels/shared/kv-f16.wgsl';
import kvF32 from './kernels/shared/kv-f32.wgsl';
import lanesSubgroups from './kernels/shared/lanes-subgroups.wgsl';
import lanesPlain from './kernels/shared/lanes.wgsl';
import layerNorm from './kernels/shared/layer-norm.wgsl';
import rmsNorm from './kernels/shared/rms-norm.wgsl';
import scaledF16 from './kernels/shared/scaled-f16.wgsl';
import scaledF32 from './kernels/shared/scaled-f32.wgsl';
import signedF16 from './kernels/shared/signed-f16.wgsl';
import signedF32 from './kernels/shared/signed-f32.wgsl';
import sort from './kernels/shared/sort.wgsl';
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
  /** fp16 arithmetic in 1-bit products instead of f32. */
  halfInputs: boolean;
}

/**
 * What a device with these features gets. fp16 pairs halve the instructions of 1-bit products, but move logits by twice
 * what an fp16 cache does, and one sequence is bound by memory on nearly every card: they are made where
 * ONEBIT_GPU_PRODUCTS=f16 asks for them. Everything else is bound by memory or small, and stays f32.
 */
export function kernelVariant(
  features: ReadonlySet<OptionalFeature>,
  exact: boolean,
  products = process.env.ONEBIT_GPU_PRODUCTS,
): KernelVariant {
  return {
    subgroups: features.has('subgroups'),
    halfCache: !exact,
    halfInputs: !exact && products === 'f16' && features.has('shader-f16'),
  };
}

/** Each kernel with the shared texts that it needs. Those in quotes stand for their variant. */
const kernels = {
  'embed-norm': [embedNorm, 'lanes', 'scaled', rmsNorm],
  'sign-gemv': [signGemv, 'lanes', 'signed'],
  'sign-gemm': [signGemm, 'signed'],
  'norm-rope-cache': [normRopeCache, 'lanes', 'kv', layerNorm],
  attention: [attention, 'lanes', 'kv', 'scaled', attend],
  'attention-part': [attentionPart, 'lanes', 'kv', attend],
  'attention-merge': [attentionMerge, 'scaled'],
  'norm-residual-norm': [normResidualNorm, 'lanes', 'scaled', layerNorm, rmsNorm],
  'norm-swiglu': [normSwiglu, 'lanes', 'scaled', layerNorm],
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
  // The lm_head reads its inputs, of which there are no copies for linears, in f32.
  const usesHalves = variant.halfInputs && (uses('signed') || uses('scaled')) && constants.COPIES !== 0;
  const texts: Record<string, string> = {
    lanes: usesSubgroups ? lanesSubgroups : lanesPlain,
    kv: variant.halfCache ? kvF16 : kvF32,
    scaled: usesHalves ? scaledF16 : scaledF32,
    signed: usesHalves ? signedF16 : signedF32,
  };
  const enabled = [...(usesHalves ? ['enable f16;'] : []), ...(usesSubgroups ? ['enable subgroups;'] : [])];
  return [...enabled, ...lines, ...shared.map((part) => texts[part] ?? part), own].join('\n');
}

/** How each binding of a kernel is accessed, in order, read from its text. */
export function kernelBindings(name: KernelName): ('read' | 'read_write')[] {
  return [...kernels[name][0].matchAll(/@binding\(\d+\) var<storage, (read|read_write)>/g)].map(
    ([, access]) => access as 'read' | 'read_write',
  );
}
