import { cpus } from 'node:os';
import type { MemoryPart, MemoryReport } from '../protocol/memory.ts';
import {
  projections,
  projectionShape,
  type ModelConfig,
  type Projection,
} from '../checkpoint/model-config.ts';

/** Bytes that an engine holds now, by part. `weights`: float linears; `values`: g and h. */
export type HeldBytes = Record<MemoryPart['part'], number>;

export interface EngineMemory {
  device: MemoryReport['device'];
  contextLength: number;
  /** Bytes of one key or value in the KV cache. */
  kvElementBytes: 2 | 4;
  held: HeldBytes;
  /** What each part was planned to take before the load. */
  planned?: Partial<HeldBytes>;
}

/**
 * The processor as the device of a report.
 * @param path e.g. avx512, avx2, portable, typescript
 */
export function cpuDevice(path: string, reason?: string): MemoryReport['device'] {
  return { kind: 'cpu', name: cpus()[0]?.model.trim() ?? process.arch, path, reason };
}

/** The memory report of an engine; what the same model takes in fp16 follows from its shape. */
export function memoryReport(
  config: ModelConfig,
  { device, contextLength, kvElementBytes, held, planned }: EngineMemory,
): MemoryReport {
  const linearWeights = config.layers * sum(projections.map((p) => product(projectionShape(config, p))));
  const hasBias = (p: Projection) => (p.startsWith('mlp') ? config.mlpBias : config.attentionBias);
  const biases = config.layers * sum(projections.filter(hasBias).map((p) => projectionShape(config, p)[0]));
  const table = 2 * config.vocabSize * config.hiddenSize;
  const isOneBit = held.signs > 0;
  const fp16: HeldBytes = {
    signs: isOneBit ? 2 * linearWeights : 0,
    weights: isOneBit ? 0 : 2 * linearWeights,
    values: 0,
    embedding: table,
    head: config.tieEmbeddings ? 0 : table,
    norms: 2 * ((2 * config.layers + 1) * config.hiddenSize + biases),
    'kv-cache': 0,
    scratch: 0,
  };
  const parts = (Object.keys(fp16) as MemoryPart['part'][])
    .filter((part) => held[part] > 0 || fp16[part] > 0)
    .map((part) => ({
      part,
      bytes: held[part],
      place: placeOf(device.kind, part),
      plannedBytes: planned?.[part],
      fp16Bytes: fp16[part],
    }));
  const model = parts.filter(({ part }) => part !== 'kv-cache' && part !== 'scratch');
  return {
    device,
    parts,
    modelBytes: sum(model.map((part) => part.bytes)),
    fp16ModelBytes: sum(model.map((part) => part.fp16Bytes)),
    bitsPerLinearWeight: (8 * (held.signs + held.values + held.weights)) / linearWeights,
    linearWeights,
    kvCacheBytes: held['kv-cache'],
    kvElementBytes,
    contextLength,
  };
}

/** A GPU holds everything but the embedding's table, of which it gets the rows that it needs. */
function placeOf(device: 'cpu' | 'gpu', part: MemoryPart['part']): MemoryPart['place'] {
  return device === 'gpu' && part !== 'embedding' ? 'gpu' : 'ram';
}

function sum(numbers: number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}

function product([a, b]: [number, number]): number {
  return a * b;
}
