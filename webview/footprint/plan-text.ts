import type { MemoryPlan } from '../../server/protocol/memory.ts';
import { formatBytes } from '../page/format.ts';

/** Powers of two up to what the model was made for, with the lengths that are in use. */
export function contextChoices(plan: MemoryPlan, loaded: number): number[] {
  const choices = new Set([loaded, plan.contextLength, plan.maxPositions]);
  for (let tokens = 256; tokens < plan.maxPositions; tokens *= 2) choices.add(tokens);
  return [...choices].sort((a, b) => a - b);
}

/** `2.41 GB now with every KV cache full, 4.56 GB then: 2.15 GB more.` */
export function planWords({ nowBytes, plannedBytes }: MemoryPlan): string {
  const now = `${formatBytes(nowBytes)} as loaded, with every KV cache full`;
  if (plannedBytes === nowBytes) return `${now}.`;
  const difference = formatBytes(Math.abs(plannedBytes - nowBytes));
  return `${now}; ${formatBytes(plannedBytes)} then: ${difference} ${plannedBytes > nowBytes ? 'more' : 'less'}.`;
}
