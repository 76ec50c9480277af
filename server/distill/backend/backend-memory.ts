import { availableMemory } from '../../available-memory.ts';
import { tf } from './tfjs.ts';

/** What a backend with memory of its own says of it. */
interface OwnMemory {
  /** Bytes that it can still take; undefined where nobody knows. */
  availableBytes(): number | undefined;
  /** Gives back what waits to be used again. */
  trim(): void;
}

const ownMemory: Record<string, true> = { webgpu: true };

function backend(): OwnMemory | undefined {
  return ownMemory[tf.getBackend()] === undefined ? undefined : (tf.backend() as unknown as OwnMemory);
}

/** Bytes that a run can take where its tensors will lie; undefined on a GPU that does not say. */
export async function trainingMemory(): Promise<number | undefined> {
  if (tf.getBackend() === 'tensorflow') return undefined;
  const own = backend();
  return own === undefined ? availableMemory() : own.availableBytes();
}

/**
 * Gives back the GPU's memory that was used for something rare, such as measuring. The native backend keeps its
 * own: main memory that lies idle can be swapped out, a GPU's cannot.
 */
export function releaseIdleMemory(): void {
  backend()?.trim();
}
