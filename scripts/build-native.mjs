// Builds the C++ addon with node-gyp. A missing compiler is not an error: the engine as WebAssembly
// serves instead, and this script says so. `--required` makes a failure an error.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const native = join(root, 'server', 'native');
const required = process.argv.includes('--required');
const require = createRequire(import.meta.url);

const gyp = require.resolve('node-gyp/bin/node-gyp.js');
const jobs = process.env.ONEBIT_BUILD_JOBS ?? '2';
// Headers installed beside this Node (distributions, official archives) spare node-gyp's download.
const prefix = join(dirname(process.execPath), '..');
const headers = existsSync(join(prefix, 'include', 'node', 'node_api.h')) ? [`--nodedir=${prefix}`] : [];
// An incremental build first configures (cheap) so that new files are picked up.
const result = spawnSync(
  process.execPath,
  [gyp, 'configure', 'build', '--release', `--jobs=${jobs}`, '--loglevel=error', ...headers],
  { cwd: native, encoding: 'utf8', maxBuffer: 1 << 26 },
);
if (result.status === 0) {
  console.log('OneBit: native kernels built.');
} else {
  const output = `${result.stdout ?? ''}${result.stderr ?? ''}${result.error?.message ?? ''}`;
  console.error(output.split('\n').slice(-40).join('\n'));
  console.error(
    'OneBit: the native kernels could not be built (above is why). Models run as WebAssembly, ' +
      'more slowly. For full speed install a C++17 compiler, make and python3 ' +
      '(Debian: apt-get install g++ make python3), then run: npm run build:native',
  );
  if (required) process.exit(1);
}
// The committed WebAssembly follows its sources where a compiler for it is here.
spawnSync(process.execPath, [join(root, 'scripts', 'build-wasm.mjs'), '--if-possible'], { stdio: 'inherit' });
