import { z } from './schema.ts';

/**
 * What trains: `auto` (the first of CUDA, a hardware GPU, and the native kernels that works), or one by name.
 * `webgpu:` and part of a GPU's name takes that one, a software adapter too.
 */
export const trainingBackendSchema = z
  .string()
  .max(200)
  .regex(
    /^(auto|native|cpu|tensorflow|webgpu(:.+)?)$/s,
    'Expected auto, native, cpu, tensorflow, webgpu, or webgpu: and part of a name',
  );

/**
 * The folder that the optional CUDA backend is installed in, with a `node_modules` (an environment variable
 * of the server and the command line).
 */
export const tensorflowVariable = 'ONEBIT_TENSORFLOW';

/** The CUDA backend: the package, and the versions that it runs with. */
export const tensorflowPackage = {
  name: '@tensorflow/tfjs-node-gpu',
  version: '4.22.0',
  needs:
    'Linux or Windows on x64 with an NVIDIA GPU, CUDA 11.2, cuDNN 8.1, and a Node.js from 18 to 22 (its install script downloads TensorFlow 2.9.1)',
} as const;

/** Why the CUDA backend cannot run in a Node.js like this; undefined where it may. */
export function tensorflowObstacle(platform: string, arch: string, nodeVersion: string): string | undefined {
  const major = Number(/^v?(\d+)/.exec(nodeVersion)?.[1]);
  if (platform !== 'linux' && platform !== 'win32') return `there is no CUDA backend for ${platform}`;
  if (arch !== 'x64') return `there is no CUDA backend for ${arch} processors`;
  if (major > 22) return `the CUDA backend does not load in Node.js ${major}, only up to 22`;
  return undefined;
}
