// Writes a model of real shape with random weights, to measure with:
//   node test/bench/write-shape.mjs FOLDER [7b | 1.1b | 100m] [onebit | full]
import { loadBundled } from './bundle.mjs';

const { shapes, writeShape } = await loadBundled('model-shape');

const [folder, shape = '7b', kind = 'onebit'] = process.argv.slice(2);
if (folder === undefined || !Object.hasOwn(shapes, shape) || !['onebit', 'full'].includes(kind)) {
  console.error(
    `usage: node test/bench/write-shape.mjs FOLDER [${Object.keys(shapes).join(' | ')}] [onebit | full]`,
  );
  process.exit(2);
}
const started = performance.now();
let total = 0;
await writeShape(folder, shape, kind, { onProgress: (progress) => (total = progress.total) });
const seconds = (performance.now() - started) / 1000;
console.log(`${folder}: ${shape} ${kind}, ${(total / 1e9).toFixed(3)} GB in ${seconds.toFixed(1)} s`);
