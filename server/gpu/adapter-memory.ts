import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { availableMemory } from '../available-memory.ts';

/** Bytes of a card's memory. WebGPU does not say them, so both are undefined where the system does not either. */
export interface AdapterMemory {
  totalBytes?: number;
  /** What a new model may take. */
  freeBytes?: number;
  /** Where the figures come from, or why there are none. */
  source: string;
}

const unknownMemory: AdapterMemory = { source: 'not known: neither WebGPU nor the system says it' };

/**
 * Memory of an adapter: the machine's own for an integrated or software one, else what `nvidia-smi` or the
 * amdgpu driver of Linux says. Never throws.
 * @param root where /sys is found
 */
export async function adapterMemory(
  name: string,
  vendor: string,
  kind: 'discrete' | 'integrated' | 'software',
  root = '/',
): Promise<AdapterMemory> {
  if (kind !== 'discrete') {
    return {
      totalBytes: totalmem(),
      freeBytes: await availableMemory(root),
      source: "the machine's own memory, which it shares",
    };
  }
  if (/nvidia/i.test(vendor)) return (await nvidiaMemory(name)) ?? unknownMemory;
  if (/amd/i.test(vendor)) return (await amdMemory(root)) ?? unknownMemory;
  return unknownMemory;
}

async function nvidiaMemory(name: string): Promise<AdapterMemory | undefined> {
  try {
    const { stdout } = await promisify(execFile)(
      'nvidia-smi',
      ['--query-gpu=name,memory.total,memory.free', '--format=csv,noheader,nounits'],
      { timeout: 5000 },
    );
    return parseNvidiaSmi(stdout, name);
  } catch {
    return undefined;
  }
}

/** The line of a card in what `nvidia-smi --query-gpu=name,memory.total,memory.free` prints, in MiB. */
export function parseNvidiaSmi(text: string, name: string): AdapterMemory | undefined {
  const cards = text
    .split('\n')
    .map((line) => line.split(',').map((field) => field.trim()))
    .filter(([, total]) => total !== undefined && Number(total) > 0);
  const [, total, free] = cards.find(([card]) => card === name) ?? (cards.length === 1 ? cards[0] : []) ?? [];
  if (total === undefined || free === undefined) return undefined;
  return {
    totalBytes: Number(total) * 2 ** 20,
    freeBytes: Number.isFinite(Number(free)) ? Number(free) * 2 ** 20 : undefined,
    source: 'nvidia-smi',
  };
}

/** The largest card that the amdgpu driver lists (an integrated one has a small carve-out beside it). */
async function amdMemory(root: string): Promise<AdapterMemory | undefined> {
  const folder = join(root, 'sys/class/drm');
  const cards = (await readdir(folder).catch(() => [])).filter((card) => /^card\d+$/.test(card));
  let largest: AdapterMemory | undefined;
  for (const card of cards) {
    const bytes = async (file: string) => {
      const text = await readFile(join(folder, card, 'device', file), 'utf8').catch(() => '');
      return /^\d+\s*$/.test(text) ? Number(text) : undefined;
    };
    const [totalBytes, used] = await Promise.all([bytes('mem_info_vram_total'), bytes('mem_info_vram_used')]);
    if (totalBytes === undefined || totalBytes <= (largest?.totalBytes ?? 0)) continue;
    largest = {
      totalBytes,
      freeBytes: used === undefined ? undefined : totalBytes - used,
      source: 'the amdgpu driver',
    };
  }
  return largest;
}
