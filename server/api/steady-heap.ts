import { setFlagsFromString } from 'node:v8';

/**
 * Keeps the size of V8's heap close to what is in use. By default V8 lets young objects take 33 MB and the others grow
 * to a multiple of what is alive before it looks; under load the server's memory swung by a tenth with that, and stood
 * 30 MB higher. The server's own work is in native code: with more, shorter collections it answers as fast.
 * Call it before anything else is allocated; an engine that does not know a flag goes on without.
 */
export function keepHeapSteady(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
  setFlagsFromString('--heap-growing-percent=20');
}
