import type { ModelConfig } from '../checkpoint/model-config.ts';
import type { MemoryPlan, MemoryPlanParams, MemoryReport } from '../protocol/memory.ts';
import { planGpuMemory } from './webgpu/buffer-plan.ts';

/** What the loaded engine is, beside its report. */
export interface PlannedEngine {
  config: ModelConfig;
  report: MemoryReport;
  /** KV caches that may be open at once. */
  sequences: number;
}

/**
 * What a loaded model would take with another context or another precision of its lm_head (docs/panel.md has the
 * formulas). Signs, values, norms and the rest stay as they are held. The KV caches count as full on both sides; on a
 * GPU the plan is that of the buffers themselves.
 * @throws unsupported: a context whose buffers do not fit the GPU's bindings
 */
export function planMemory(engine: PlannedEngine, params: MemoryPlanParams): MemoryPlan {
  const { config, report, sequences } = engine;
  const contextLength = params.contextLength ?? report.contextLength;
  const caches = cachesOf(engine, report.contextLength);
  const wanted = cachesOf(engine, contextLength);
  const parts = report.parts.map(({ part, place, bytes }): MemoryPlan['parts'][number] => {
    if (part === 'kv-cache') {
      const { layers, kvHeads, headDim } = config;
      const each = `${sequences} × ${contextLength} tokens × ${layers} layers × 2 × ${kvHeads} heads × ${headDim}`;
      const how = `${each} × ${report.kvElementBytes} bytes`;
      return { part, place, nowBytes: caches.cache, plannedBytes: wanted.cache, how };
    }
    if (part === 'scratch') {
      const how =
        contextLength === report.contextLength ? undefined : 'rotary tables of 4 bytes × head size × tokens';
      return { part, place, nowBytes: bytes, plannedBytes: bytes - caches.scratch + wanted.scratch, how };
    }
    return { part, place, nowBytes: bytes, plannedBytes: bytes };
  });
  if (params.headBits !== undefined) planHead(engine, params.headBits, parts);
  return {
    contextLength,
    headBits: params.headBits,
    maxPositions: config.maxPositions,
    parts,
    nowBytes: parts.reduce((sum, part) => sum + part.nowBytes, 0),
    plannedBytes: parts.reduce((sum, part) => sum + part.plannedBytes, 0),
  };
}

/**
 * The head with so many bits a weight. A tied one of 16 bits on a CPU is the embedding's table and takes nothing beside
 * it; on a GPU, and in 8 bits, it is a copy of its own.
 */
function planHead({ config, report }: PlannedEngine, headBits: 8 | 16, parts: MemoryPlan['parts']): void {
  const { vocabSize, hiddenSize, tieEmbeddings } = config;
  const isTable = tieEmbeddings && headBits === 16 && report.device.kind === 'cpu';
  const scales = headBits === 16 ? 0 : 4 * vocabSize;
  const plannedBytes = isTable ? 0 : (vocabSize * hiddenSize * headBits) / 8 + scales;
  const how = isTable
    ? "the embedding's table serves as the head"
    : `${vocabSize} × ${hiddenSize} × ${headBits / 8} bytes` +
      (scales === 0 ? '' : ` + ${vocabSize} scales × 4 bytes`);
  const head = parts.find(({ part }) => part === 'head');
  if (head !== undefined) Object.assign(head, { plannedBytes, how });
  else if (plannedBytes > 0) {
    const place = report.device.kind === 'gpu' ? 'gpu' : 'ram';
    parts.push({ part: 'head', place, nowBytes: 0, plannedBytes, how });
  }
}

/** Bytes that depend on the context: full KV caches, and scratch. */
function cachesOf(
  { config, report, sequences }: PlannedEngine,
  contextLength: number,
): { cache: number; scratch: number } {
  if (report.device.kind === 'gpu') {
    const { parts } = planGpuMemory(config, contextLength, sequences, report.kvElementBytes === 4);
    return { cache: parts['kv-cache'], scratch: parts.scratch };
  }
  const { layers, kvHeads, headDim } = config;
  return {
    cache: sequences * contextLength * layers * 2 * kvHeads * headDim * report.kvElementBytes,
    scratch: 4 * contextLength * headDim,
  };
}
