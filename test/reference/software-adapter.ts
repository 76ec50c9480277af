import { existsSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { chooseAdapter, type AdapterUse, type OptionalFeature } from '../../server/gpu/adapters.ts';
import { GpuDevice } from '../../server/gpu/device.ts';

/**
 * Where tests of the GPU find an adapter. SwiftShader is a Vulkan driver that runs on the CPU, and
 * chromium brings it with a Vulkan loader of its own. VK_ICD_FILENAMES, where it is set, names another
 * driver (of lavapipe, say, which has f16), and ONEBIT_TEST_DEVICE another device option than `gpu:` and
 * the driver's name. Dawn wants a process that outlives its promises: forks, never worker threads.
 */
const swiftShader = [
  '/usr/lib/chromium/vk_swiftshader_icd.json',
  '/usr/lib/chromium-browser/vk_swiftshader_icd.json',
];

export const softwareDriver = process.env.VK_ICD_FILENAMES ?? swiftShader.find((file) => existsSync(file));

/** `--device` of the adapter that tests run on. */
export const softwareDevice = process.env.ONEBIT_TEST_DEVICE ?? 'gpu:swiftshader';

/** What a process needs in its environment to see the software adapter, and no other. */
export const softwareEnvironment: Record<string, string> =
  softwareDriver === undefined
    ? {}
    : {
        VK_ICD_FILENAMES: softwareDriver,
        LD_LIBRARY_PATH: [dirname(softwareDriver), process.env.LD_LIBRARY_PATH]
          .filter((folder) => folder !== undefined && folder !== '')
          .join(delimiter),
      };

/** Why there is no software adapter here; undefined where there is one. For `describe.skipIf`. */
export const noSoftwareAdapter: string | undefined =
  process.platform !== 'linux'
    ? 'the tests of the GPU run on Linux'
    : softwareDriver === undefined
      ? 'no SwiftShader: install chromium, or set VK_ICD_FILENAMES to a Vulkan driver'
      : undefined;

if (noSoftwareAdapter === undefined) useSoftwareDriver();
else console.warn(`Tests of the GPU are skipped: ${noSoftwareAdapter}.`);

/** Makes this process see the software driver, before Dawn is loaded. */
function useSoftwareDriver(): void {
  Object.assign(process.env, { VK_ICD_FILENAMES: softwareDriver });
  const loader = join(dirname(softwareDriver ?? ''), 'libvulkan.so.1');
  if (!existsSync(loader)) return;
  // LD_LIBRARY_PATH is read when a process starts. A library that is loaded already, and stays (RTLD_NODELETE),
  // is found by its name; Node calls it no addon, which is right.
  const stay = 0x1000;
  try {
    process.dlopen({ exports: {} }, loader, constants.dlopen.RTLD_NOW | stay);
  } catch (error) {
    if (!String(error).includes('self-register')) throw error;
  }
}

/** A device on the software adapter; the caller destroys it. */
export async function softwareGpu(
  options: AdapterUse & { without?: OptionalFeature[] } = {},
): Promise<GpuDevice> {
  return GpuDevice.open(await chooseAdapter(softwareDevice, options), options);
}

/** Bytes of this process in memory now, after what can be collected is. */
export function residentBytes(): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return 1024 * Number(kilobytes);
}
