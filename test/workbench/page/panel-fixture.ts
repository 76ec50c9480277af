import type { Job, Metric } from '../../../server/protocol/job.ts';
import type { MemoryReport } from '../../../server/protocol/memory.ts';
import type { ServerMemory } from '../../../server/protocol/methods.ts';
import type { PanelSnapshot } from '../../../server/protocol/panel.ts';
import { layers } from './layers-fixture.ts';
import { llama, starter, teacher } from './models-fixture.ts';

/** Messages such as a server in use sends, to look at the panel without one. All values are made up by formula. */

/** LLaMA-7B's own figures: 32 layers, hidden 4096, FFN 11008, vocabulary 32000. */
export const llamaReport: MemoryReport = {
  device: { kind: 'cpu', name: 'Intel Xeon Platinum 8481C', path: 'avx512' },
  parts: [
    { part: 'signs', place: 'ram', bytes: 809_500_672, fp16Bytes: 12_952_010_752 },
    { part: 'values', place: 'ram', bytes: 5_636_096, fp16Bytes: 0 },
    { part: 'embedding', place: 'ram', bytes: 262_144_000, fp16Bytes: 262_144_000 },
    { part: 'head', place: 'ram', bytes: 262_144_000, fp16Bytes: 262_144_000 },
    { part: 'norms', place: 'ram', bytes: 532_480, fp16Bytes: 532_480 },
    { part: 'kv-cache', place: 'ram', bytes: 1_073_741_824, fp16Bytes: 0 },
    { part: 'scratch', place: 'ram', bytes: 18_350_080, fp16Bytes: 0 },
  ],
  modelBytes: 1_339_957_248,
  fp16ModelBytes: 13_476_831_232,
  bitsPerLinearWeight: (8 * (809_500_672 + 5_636_096)) / 6_476_005_376,
  linearWeights: 6_476_005_376,
  kvCacheBytes: 1_073_741_824,
  kvElementBytes: 2,
  contextLength: 2048,
};

export const memory: ServerMemory = {
  process: { rssBytes: 2_512_000_000, heapBytes: 41_300_000, uptimeSeconds: 4512 },
  model: { state: 'ready', model: llama, memory: llamaReport, active: 1, queued: 0 },
};

export function metrics(steps: number): Metric[] {
  return Array.from({ length: steps }, (_, i) => {
    const step = i + 1;
    const wobble = Math.sin(step * 12.9898) * 0.12 + Math.sin(step * 78.233) * 0.08;
    const kl = 0.9 + 7.2 * Math.exp(-step / 60) + wobble;
    const hidden = 0.35 + 0.9 * Math.exp(-step / 110) + wobble / 6;
    return {
      step,
      seconds: step * 0.52,
      loss: kl + hidden,
      kl,
      hidden,
      learningRate: 4e-4 * Math.min(1, step / 20) * 0.5 * (1 + Math.cos((Math.PI * step) / 600)),
      gradientNorm: 1.2,
      tokensPerSecond: 1960 + 40 * wobble,
      tokens: step * 1024,
      ...(step % 50 === 0 || step === 1 ? measured(step) : {}),
    };
  });
}

/** What a run measures at intervals. */
function measured(step: number): Partial<Metric> {
  const layers = Array.from({ length: 6 }, (_, layer) => 0.01 + 0.004 * layer);
  const sinceStart = layers.map((share) => share * (1 - Math.exp(-step / 80)));
  const prompt = 'export async function readJson(path: string) {\n  const text = ';
  return {
    perplexity: 14 + 5200 * Math.exp(-step / 25),
    signFlips: { sinceLast: layers.map((share) => share / 10), sinceStart },
    sample: {
      completion: `await readFile(path, { step: ${step} });`,
      ...(step === 1 ? { prompt, teacher: "await readFile(path, 'utf8');" } : {}),
    },
  };
}

export const distilling: Job = {
  id: 'distill-20260314-091500',
  spec: {
    kind: 'distill',
    teacher: '/home/ada/models/code-teacher',
    data: ['/home/ada/code'],
    output: '/home/ada/models/code-student',
  },
  state: 'running',
  created: '2026-03-14T09:15:00.000Z',
  started: '2026-03-14T09:15:02.000Z',
  folder: '/home/ada/models/code-student/job',
  progress: {
    phase: 'distill',
    done: 320,
    total: 600,
    unit: 'steps',
    remainingSeconds: 146,
    metrics: { loss: 1.42 },
  },
};

export const jobs: Job[] = [
  {
    id: 'quantize-1',
    spec: {
      kind: 'quantize',
      model: '/home/ada/models/llama-7b',
      output: '/home/ada/models/llama-7b-onebit',
    },
    state: 'done',
    created: '2026-03-14T08:40:00.000Z',
    started: '2026-03-14T08:40:01.000Z',
    ended: '2026-03-14T08:44:13.000Z',
    folder: '/home/ada/.local/state/onebit/jobs/quantize-1',
  },
  {
    id: 'quantize-2',
    spec: {
      kind: 'quantize',
      model: '/home/ada/models/broken-llama',
      output: '/home/ada/models/broken-llama-onebit',
    },
    state: 'failed',
    created: '2026-03-14T08:30:00.000Z',
    started: '2026-03-14T08:30:01.000Z',
    ended: '2026-03-14T08:30:02.000Z',
    folder: '/home/ada/.local/state/onebit/jobs/quantize-2',
    error: {
      code: 'bad-file',
      message:
        '/home/ada/models/broken-llama/model-00002-of-00003.safetensors: tensor model.layers.17.mlp.up_proj.weight runs 4,194,304 bytes past the end of the file. Download the file again.',
    },
  },
  {
    id: 'quantize-3',
    spec: {
      kind: 'quantize',
      model: '/home/ada/models/tinyllama-1.1b',
      output: '/home/ada/models/tinyllama-1.1b-onebit',
    },
    state: 'queued',
    created: '2026-03-14T09:16:00.000Z',
    folder: '/home/ada/.local/state/onebit/jobs/quantize-3',
  },
  distilling,
];

/** Everything in use at once. */
export const full: PanelSnapshot = {
  connection: 'connected',
  memory,
  models: [starter, llama, teacher],
  jobs,
  metrics: { [distilling.id]: metrics(320) },
  layers: layers(6, true),
};
