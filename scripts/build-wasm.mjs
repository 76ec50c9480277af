// Builds the engine's WebAssembly, which is committed: `npm run build:wasm`, after a change of the sources that it is made of.
// Needs clang 19 with wasi-libc (Debian: apt-get install clang-19 lld-19 wasi-libc libc++-19-dev-wasm32
// libc++abi-19-dev-wasm32 libclang-rt-19-dev-wasm32). `--if-possible`: nothing is done where the sources have not
// changed, and a missing compiler is no error.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { wasmFolder, wasmSources, wasmSourceHash } from '../server/native/wasm/sources.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const native = join(root, 'server', 'native');
const ifPossible = process.argv.includes('--if-possible');
const hashFile = join(wasmFolder, 'onebit.wasm.sources');
const hash = wasmSourceHash();
const built = existsSync(hashFile) ? readFileSync(hashFile, 'utf8').trim() : '';
if (ifPossible && built === hash) process.exit(0);

const result = spawnSync(
  'clang++-19',
  [
    ...['--target=wasm32-wasi', '-mexec-model=reactor', '-std=c++17', '-O3', '-fno-exceptions', '-fno-rtti'],
    ...[
      '-fno-math-errno',
      '-ffp-contract=off',
      '-fvisibility=hidden',
      '-Wall',
      '-Wextra',
      '-Wno-unused-private-field',
      '-Wno-pass-failed',
    ],
    ...['-msimd128', '-matomics', '-mbulk-memory', '-Iwasm', '-I.'],
    ...wasmSources().filter((file) => file.endsWith('.cc')),
    // The C library is not made for threads; only what the engine's own threads use has to be.
    ...[
      '-Wl,--no-check-features',
      '-Wl,--shared-memory',
      '-Wl,--import-memory',
      '-Wl,--max-memory=4294967296',
    ],
    ...['-Wl,--export=__stack_pointer', '-Wl,-z,stack-size=1048576', '-Wl,--strip-all', '-Wl,--gc-sections'],
    ...['-o', join('wasm', 'onebit.wasm')],
  ],
  { cwd: native, stdio: ['ignore', 'inherit', 'inherit'] },
);
if (result.status !== 0) {
  console.error(
    'OneBit: the WebAssembly engine could not be built; scripts/build-wasm.mjs says what it needs.',
  );
  process.exit(ifPossible ? 0 : 1);
}
writeFileSync(hashFile, `${hash}\n`);
console.log('OneBit: the WebAssembly engine is built.');
