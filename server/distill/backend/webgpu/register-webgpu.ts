import type { GpuDevice } from '../../../gpu/device.ts';
import { tf } from '../tfjs.ts';
import { registerAttentionKernels } from './attention-kernels.ts';
import { registerLayerKernels } from './layer-kernels.ts';
import { registerLossKernels } from './loss-kernels.ts';
import { TrainingWebgpuBackend } from './webgpu-backend.ts';

/** Makes tfjs's `webgpu` run on this device, and no longer on one before it. The caller destroys the device. */
export function registerWebgpuBackend(gpu: GpuDevice): void {
  if (tf.engine().registryFactory['webgpu'] !== undefined) tf.removeBackend('webgpu');
  // The backend of tfjs asks whether there is WebGPU as a browser would.
  if (globalThis.navigator === undefined) Object.assign(globalThis, { navigator: {} });
  Object.assign(globalThis.navigator, { gpu: {} });
  tf.registerBackend('webgpu', () => new TrainingWebgpuBackend(gpu));
  if (tf.getKernel('OneBitSignLinear', 'webgpu') !== undefined) return;
  registerLayerKernels();
  registerAttentionKernels();
  registerLossKernels();
}
