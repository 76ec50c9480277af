import type { ServerMemory } from './methods.ts';

/** What the server took at a time. */
export interface MemoryReading {
  /** Milliseconds since 1970. */
  at: number;
  /** Resident memory of the process. */
  ramBytes: number;
  /** Buffers on the GPU; 0 without one. */
  gpuBytes: number;
}

/** More do not show in a chart as wide as a panel. */
export const mostReadings = 600;

/** The readings with one more, the oldest left out where there are too many. */
export function withReading(
  readings: readonly MemoryReading[],
  memory: ServerMemory,
  at: number,
): MemoryReading[] {
  const parts = memory.model.state === 'ready' ? (memory.model.memory?.parts ?? []) : [];
  const gpuBytes = parts.reduce((sum, { place, bytes }) => sum + (place === 'gpu' ? bytes : 0), 0);
  return [...readings.slice(1 - mostReadings), { at, ramBytes: memory.process.rssBytes, gpuBytes }];
}
