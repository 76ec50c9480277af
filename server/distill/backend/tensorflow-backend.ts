import { createRequire } from 'node:module';
import { join } from 'node:path';
import { packageRoot } from '../../package-root.ts';
import {
  tensorflowObstacle,
  tensorflowPackage,
  tensorflowVariable,
} from '../../protocol/training-backend.ts';
import { tf } from './tfjs.ts';

/** The CUDA backend loaded and registered as `tensorflow`, or why not, as the rest of a sentence. */
export type TensorflowLoad = { usesGpu: boolean } | { missing: string };

/** What tfjs-node says of itself. */
interface NodeBackend {
  isUsingGpuDevice?: boolean;
}

/**
 * Loads the optional package tfjs-node-gpu from the folder in ONEBIT_TENSORFLOW, or from this project. It brings
 * a tfjs of its own; both copies share the engine and the registries, which tfjs keeps global. Never throws.
 */
export function loadTensorflow(environment: NodeJS.ProcessEnv = process.env): TensorflowLoad {
  const obstacle = tensorflowObstacle(process.platform, process.arch, process.version);
  if (obstacle !== undefined) return { missing: obstacle };
  const path = resolvePackage([environment[tensorflowVariable], packageRoot()]);
  if (path === undefined) return { missing: 'the CUDA backend is not installed' };
  // Its copy of tfjs registers what is registered already, and would print a line for each kernel.
  const before = tf.env().getBool('PROD');
  try {
    tf.env().set('PROD', true);
    createRequire(path)(path);
    const backend = tf.findBackend('tensorflow') as NodeBackend | null;
    if (backend === null) return { missing: `the CUDA backend registers nothing (${path})` };
    return { usesGpu: backend.isUsingGpuDevice === true };
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    return { missing: `the CUDA backend does not load: ${reason}` };
  } finally {
    tf.env().set('PROD', before);
  }
}

function resolvePackage(folders: (string | undefined)[]): string | undefined {
  for (const folder of folders) {
    if (folder === undefined || folder === '') continue;
    try {
      return createRequire(join(folder, 'package.json')).resolve(tensorflowPackage.name);
    } catch {
      // Not there: the next folder may have it.
    }
  }
  return undefined;
}
