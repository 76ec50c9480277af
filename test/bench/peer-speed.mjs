// Measures node-llama-cpp on a GGUF file: node peer-speed.mjs MODEL THREADS PREFILL DECODE REPEATS
// Prints what `onebit bench --json` prints.
import { getLlama, LlamaLogLevel } from 'node-llama-cpp';

const [modelPath, ...numbers] = process.argv.slice(2);
const [threads, prefill, decode, repeats] = numbers.map(Number);

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
const started = performance.now();
const llama = await getLlama({
  build: 'never',
  skipDownload: true,
  gpu: false,
  maxThreads: threads,
  logLevel: LlamaLogLevel.error,
});
const model = await llama.loadModel({ modelPath, gpuLayers: 0 });
const context = await model.createContext({
  contextSize: prefill + decode + 16,
  batchSize: prefill,
  threads,
});
const sequence = context.getSequence();
const loadSeconds = (performance.now() - started) / 1000;

const prompt = Array.from({ length: prefill }, (_, i) => 259 + ((i * 7919) % 30000));
const speeds = { prefill: [], decode: [] };
// The first round warms up the page cache and the threads.
for (let round = 0; round <= repeats; round++) {
  await sequence.clearHistory();
  let start = performance.now();
  await sequence.evaluateWithoutGeneratingNewTokens(prompt);
  const prefillSeconds = (performance.now() - start) / 1000;
  let count = -1;
  const generated = sequence.evaluate([5000], { temperature: 0, yieldEogToken: true });
  // The first token comes with the evaluation of its prompt: time runs from there.
  while (count < decode) {
    await generated.next();
    if (++count === 0) start = performance.now();
  }
  const decodeSeconds = (performance.now() - start) / 1000;
  await generated.return();
  if (round === 0) continue;
  speeds.prefill.push(prefill / prefillSeconds);
  speeds.decode.push(decode / decodeSeconds);
}
console.log(
  JSON.stringify({
    prefill: { tokens: prefill, tokensPerSecond: median(speeds.prefill) },
    decode: { tokens: decode, tokensPerSecond: median(speeds.decode) },
    threads,
    path: 'node-llama-cpp',
    loadSeconds,
    rssBytes: process.memoryUsage.rss(),
  }),
);
process.exit(0);
