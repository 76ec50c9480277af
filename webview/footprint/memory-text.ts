import type { MemoryPart, MemoryReport } from '../../server/protocol/memory.ts';
import { formatBytes } from '../page/format.ts';

/** What each part is, in words. */
export const partText: Record<MemoryPart['part'], { name: string; description: string }> = {
  signs: { name: 'Signs', description: 'One bit for each weight of the linear layers' },
  values: { name: 'Values g, h', description: 'Two fp16 vectors for each linear layer' },
  weights: { name: 'Weights', description: 'Linear layers of a full-precision model' },
  embedding: { name: 'Embedding', description: 'Token vectors, kept in fp16' },
  head: { name: 'Head', description: 'Output projection to the vocabulary, kept in fp16' },
  norms: { name: 'Norms', description: 'Weights of the normalisations' },
  'kv-cache': { name: 'KV cache', description: 'Keys and values of the tokens in context' },
  scratch: { name: 'Scratch', description: 'Working memory of the engine' },
};

/** Exists only while the model runs; has no place in the comparison with fp16. */
export function isRuntimePart(part: MemoryPart): boolean {
  return part.part === 'kv-cache' || part.part === 'scratch';
}

/** Times smaller than fp16; undefined where there is nothing to compare with. */
export function shrink(bytes: number, fp16Bytes: number): number | undefined {
  return bytes > 0 && fp16Bytes > 0 ? fp16Bytes / bytes : undefined;
}

/** Why the model runs where it does, and how well its memory was planned; one sentence each. */
export function deviceNotes(report: MemoryReport): string[] {
  const { kind, reason } = report.device;
  const notes = reason === undefined ? [] : [`On the ${kind.toUpperCase()}: ${reason}.`];
  const planned = report.parts.reduce((sum, part) => sum + (part.plannedBytes ?? 0), 0);
  if (planned > 0) {
    const measured = report.parts.reduce((sum, part) => sum + part.bytes, 0);
    const memory = `${kind.toUpperCase()} memory`;
    notes.push(
      `${formatBytes(measured)} of ${memory} in buffers now, ${formatBytes(planned)} planned before the load.`,
    );
  }
  return notes.map((note) => note.replace(/\.\.$/, '.'));
}

/** `GPU · NVIDIA H200 · webgpu` */
export function deviceText(device: MemoryReport['device']): { kind: string; detail: string } {
  return { kind: device.kind.toUpperCase(), detail: [device.name, device.path].filter(Boolean).join(' · ') };
}
