// The files that the engine's WebAssembly is made of.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const wasmFolder = dirname(fileURLToPath(import.meta.url));
const native = join(wasmFolder, '..');
/** What other builds have in place of this one's, and code of other instruction sets. */
const others = /^(binding|kernels|tensor_source)\.cc$|^binding\.h$|_(avx2|avx512|neon|portable)\.(cc|h)$/;

/** Names under server/native, sorted. */
export function wasmSources() {
  const files = (folder, keep) =>
    readdirSync(join(native, folder))
      .filter((name) => /\.(cc|h)$/.test(name) && keep(name))
      .map((name) => `${folder}/${name}`);
  return [...files('engine', (name) => !others.test(name)), 'pause.h', ...files('wasm', () => true)].sort();
}

/** Of the sources and of how they are compiled, in hexadecimal. */
export function wasmSourceHash() {
  const hash = createHash('sha256');
  for (const file of wasmSources()) {
    hash.update(`${file}\0${readFileSync(join(native, file), 'utf8').replaceAll('\r\n', '\n')}\0`);
  }
  return hash.digest('hex');
}
