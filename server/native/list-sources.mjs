// Lists the C++ files of one instruction set for binding.gyp. A file's name says what it needs:
// *_avx512.cc and *_avx2.cc are compiled with those flags, every other .cc for the baseline CPU.
import { readdirSync } from 'node:fs';

const wanted = process.argv[2];
const top = ['addon.cc', 'cpu_features.cc', 'thread_pool.cc'];
for (const entry of readdirSync('.', { recursive: true })) {
  const file = entry.replaceAll('\\', '/');
  if (!file.endsWith('.cc') || file.startsWith('build/') || file.startsWith('wasm/') || top.includes(file))
    continue;
  const needs = file.endsWith('_avx512.cc') ? 'avx512' : file.endsWith('_avx2.cc') ? 'avx2' : 'portable';
  if (needs === wanted) console.log(file);
}
