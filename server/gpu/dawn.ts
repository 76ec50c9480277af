import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { packageRoot } from '../package-root.ts';
import { OneBitError } from '../protocol/error.ts';

/** What this project uses of the package `webgpu`, Dawn's binding for Node. */
export interface Dawn {
  /** An instance of WebGPU; flags as `name=value`. */
  create(flags: string[]): GPU;
  /** The constructors and constants of the WebGPU standard, such as GPUBufferUsage. */
  globals: object;
}

let loading: Promise<Dawn> | undefined;

/**
 * An instance that is collected takes its devices with it, in the middle of their work: every one lives as
 * long as the process.
 */
const instances = new Map<string, GPU>();

/** Where the packed extension keeps the package, with the binary of its own platform only. */
export const packedDawn = join('server', 'gpu', 'prebuilds', 'webgpu', 'index.js');

/**
 * Loads Dawn once a process, and makes the names of the WebGPU standard (GPUBufferUsage …) global.
 * @throws OneBitError gpu-missing where the package, its binary for this platform, or the system's Vulkan
 *   loader is missing
 */
export function loadDawn(): Promise<Dawn> {
  loading ??= importDawn();
  return loading;
}

/** The instance with these flags: made once, and kept for as long as the process lives. */
export async function dawnInstance(...flags: string[]): Promise<GPU> {
  const dawn = await loadDawn();
  const name = flags.join('\n');
  let instance = instances.get(name);
  if (instance === undefined) {
    instance = dawn.create(flags);
    instances.set(name, instance);
  }
  return instance;
}

async function importDawn(): Promise<Dawn> {
  requireVulkanLoader();
  const packed = join(packageRoot(), packedDawn);
  try {
    // From a checkout the package is found as any other; the packed extension has no node_modules.
    const dawn = (await (existsSync(packed)
      ? import(pathToFileURL(packed).href)
      : import('webgpu'))) as unknown as Dawn;
    Object.assign(globalThis, dawn.globals);
    return dawn;
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw new OneBitError(
      'gpu-missing',
      `No GPU can be used: WebGPU (Dawn) does not load on ${process.platform} ${process.arch}: ${reason}. ` +
        'It runs on Linux, Windows and macOS, on x64 and arm64; run "npm ci" again if the package is missing. ' +
        '--device cpu works everywhere.',
      { cause: error },
    );
  }
}

/** Dawn would print a warning for each adapter that is asked for, instead of an error. */
function requireVulkanLoader(): void {
  if (process.platform !== 'linux') return;
  try {
    process.dlopen({ exports: {} }, 'libvulkan.so.1');
  } catch (error) {
    // "Module did not self-register" is what a library that is no addon answers: it is there.
    if (error instanceof Error && error.message.includes('cannot open shared object file')) {
      throw new OneBitError(
        'gpu-missing',
        "No GPU can be used: the system has no Vulkan (libvulkan.so.1). Install the card's driver and the " +
          'Vulkan loader (Debian, Ubuntu: libvulkan1; Fedora: vulkan-loader), or use --device cpu.',
      );
    }
  }
}
