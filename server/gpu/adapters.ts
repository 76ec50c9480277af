import { OneBitError } from '../protocol/error.ts';
import { adapterMemory, type AdapterMemory } from './adapter-memory.ts';
import { dawnInstance } from './dawn.ts';

/** Features that kernels have variants for; every one is optional. */
export const optionalFeatures = ['shader-f16', 'subgroups', 'timestamp-query'] as const;
export type OptionalFeature = (typeof optionalFeatures)[number];

export interface GpuAdapterInfo {
  /** As the driver calls it, e.g. `NVIDIA GeForce RTX 4090`. */
  name: string;
  vendor: string;
  /** The family of the card where Dawn knows it, e.g. `ada`. */
  architecture: string;
  /** The version of the driver, as the driver says it. */
  driver: string;
  backend: 'vulkan' | 'metal' | 'd3d12';
  /** `software` runs on the CPU (SwiftShader, lavapipe, WARP); `integrated` shares the machine's memory. */
  kind: 'discrete' | 'integrated' | 'software';
  features: OptionalFeature[];
  /** Whether shaders have an instruction for the products of four bytes and their sum. */
  integerDot: boolean;
  /** Lanes of a subgroup, smallest and largest; undefined without the feature. */
  subgroupSizes?: [number, number];
  limits: { maxBufferSize: number; maxStorageBufferBindingSize: number };
  memory: AdapterMemory;
}

/** One adapter, ready to make one device (a second device needs a second choice). */
export interface ChosenAdapter {
  info: GpuAdapterInfo;
  adapter: GPUAdapter;
}

export interface AdapterUse {
  /**
   * For shaders that check every index that may be out of range, as the engine's do: the driver is not to check each access
   * as well. On an H200 that check nearly doubles the time of a kernel that reads little. Default false.
   */
  unchecked?: boolean;
}

const backends: Partial<Record<NodeJS.Platform, GpuAdapterInfo['backend']>> = {
  linux: 'vulkan',
  darwin: 'metal',
  win32: 'd3d12',
};

/**
 * Every adapter of this machine, the best first: discrete, integrated, software. Two cards of the same name
 * are listed once.
 * @throws OneBitError gpu-missing where Dawn does not load
 */
export async function listAdapters(): Promise<GpuAdapterInfo[]> {
  return (await openAdapters()).map(({ info }) => info);
}

/**
 * The adapter for a device option: the best hardware one for `auto` and `gpu`, or with `gpu:<name>` the
 * first whose name holds these letters, in either case, a software adapter too.
 * @throws OneBitError gpu-missing, with what there is, where none fits; bad-value for another option
 */
export async function chooseAdapter(device: string, use: AdapterUse = {}): Promise<ChosenAdapter> {
  const wanted = /^gpu:(.+)$/s.exec(device)?.[1]?.trim().toLowerCase();
  if (device !== 'auto' && device !== 'gpu' && (wanted === undefined || wanted === '')) {
    throw new OneBitError(
      'bad-value',
      `"${device}" names no GPU: use auto, gpu, or gpu: and part of a name.`,
    );
  }
  const all = await openAdapters(use);
  const fits = ({ info }: ChosenAdapter) =>
    wanted === undefined ? info.kind !== 'software' : info.name.toLowerCase().includes(wanted);
  const chosen = all.find(fits);
  if (chosen !== undefined) return chosen;
  const found = all.map(({ info }) => `${info.name} (${info.kind})`).join(', ');
  const asked =
    wanted === undefined ? 'There is no hardware GPU here' : `There is no GPU with "${wanted}" in its name`;
  const hint =
    all.length === 0 ? ' WebGPU finds no adapter at all: is the driver installed?' : ` There is: ${found}.`;
  throw new OneBitError(
    'gpu-missing',
    `${asked}.${hint}${
      wanted === undefined && all.length > 0 ? ' A software one is only taken by its name.' : ''
    }`,
  );
}

/** The adapters of `listAdapters`, each ready to make one device. */
export async function openAdapters({ unchecked = false }: AdapterUse = {}): Promise<ChosenAdapter[]> {
  const backend = backends[process.platform];
  if (backend === undefined) {
    throw new OneBitError('gpu-missing', `There is no WebGPU for ${process.platform}: use --device cpu.`);
  }
  const [strongest, thriftiest] = await Promise.all([
    adapterNames(backend, 'high-performance'),
    adapterNames(backend, 'low-power'),
  ]);
  const found: ChosenAdapter[] = [];
  for (const name of new Set(strongest)) {
    const toggles = unchecked ? ['enable-dawn-features=disable_robustness'] : [];
    const instance = await dawnInstance(`backend=${backend}`, `adapter=${name}`, ...toggles);
    const adapter = await instance.requestAdapter({ powerPreference: 'high-performance' });
    if (adapter === null) continue;
    const kind = adapterKind(name, adapter.info, strongest, thriftiest);
    // Metal has none: there Dawn puts a dozen instructions in its place.
    const integerDot =
      backend !== 'metal' && instance.wgslLanguageFeatures.has('packed_4x8_integer_dot_product');
    found.push({ adapter, info: { ...(await describe(name, backend, kind, adapter)), integerDot } });
  }
  const order = ['discrete', 'integrated', 'software'];
  return found.sort((a, b) => order.indexOf(a.info.kind) - order.indexOf(b.info.kind));
}

/**
 * Names of the adapters in Dawn's order. The standard lets a page ask for one adapter only; Dawn lists them
 * all in the error for a name that none has.
 */
async function adapterNames(backend: string, powerPreference: GPUPowerPreference): Promise<string[]> {
  const instance = await dawnInstance(`backend=${backend}`, 'adapter=(none)');
  try {
    await instance.requestAdapter({ powerPreference });
    return [];
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return [...text.matchAll(/backend: '[^']*', name: '(.*)'$/gm)].map(([, name = '']) => name);
  }
}

/**
 * WebGPU does not say whether a card is discrete. Dawn's order does where there is one of each kind: those
 * that come first by performance and later by thrift are discrete. Otherwise the vendor tells: NVIDIA
 * makes discrete cards, Apple integrated ones, and AMD and Intel both, which their names tell apart.
 */
export function adapterKind(
  name: string,
  info: Pick<GPUAdapterInfo, 'vendor' | 'isFallbackAdapter'>,
  strongest: string[],
  thriftiest: string[],
): GpuAdapterInfo['kind'] {
  if (info.isFallbackAdapter || /llvmpipe|swiftshader|basic render/i.test(name)) return 'software';
  const firstIntegrated = strongest.indexOf(thriftiest[0] ?? name);
  if (firstIntegrated > 0) {
    return strongest.indexOf(name) < firstIntegrated ? 'discrete' : 'integrated';
  }
  if (/nvidia/i.test(info.vendor)) return 'discrete';
  if (/amd|intel/i.test(info.vendor)) {
    return /\b(RX|Pro|Instinct|FirePro|VII|Arc|Flex|Max)\b/i.test(name) ? 'discrete' : 'integrated';
  }
  return 'integrated';
}

async function describe(
  name: string,
  backend: GpuAdapterInfo['backend'],
  kind: GpuAdapterInfo['kind'],
  { info, features, limits }: GPUAdapter,
): Promise<Omit<GpuAdapterInfo, 'integerDot'>> {
  return {
    name,
    vendor: info.vendor,
    architecture: info.architecture,
    driver: info.description,
    backend,
    kind,
    features: optionalFeatures.filter((feature) => features.has(feature)),
    subgroupSizes: features.has('subgroups') ? [info.subgroupMinSize, info.subgroupMaxSize] : undefined,
    limits: {
      maxBufferSize: limits.maxBufferSize,
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
    },
    memory: await adapterMemory(name, info.vendor, kind),
  };
}
