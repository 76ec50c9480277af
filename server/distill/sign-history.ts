import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { TensorSource } from '../checkpoint/checkpoint.ts';
import { writeSafetensors } from '../checkpoint/safetensors-writer.ts';

/** Snapshots that stay: as many bits a weight as one f32 copy of the model has. */
const kept = 32;
const ending = '.safetensors';

/**
 * What the signs, g and h of a student were over a run: `<run>/signs/step-N.safetensors`, written with every
 * measurement, packed as in a OneBit checkpoint with g and h in f32. Training checkpoints are replaced every minute;
 * these are for looking back. Where there would be more than 32, the one whose neighbours lie closest is taken out, so
 * that what stays is spread over the whole run. One that cannot be written is left out: it is not worth a run.
 */
export class SignHistory {
  private readonly folder: string;

  constructor(run: string) {
    this.folder = join(run, 'signs');
  }

  /** Takes out what a killed run wrote after the step that it goes on from. */
  async keepUpTo(last: number): Promise<void> {
    for (const step of await this.steps()) {
      if (step > last) await rm(this.path(step), { force: true });
    }
  }

  /** Adds a snapshot. */
  async add(step: number, tensors: TensorSource[]): Promise<void> {
    const partial = `${this.path(step)}.partial`;
    try {
      await mkdir(this.folder, { recursive: true });
      await writeSafetensors(partial, tensors);
      await rename(partial, this.path(step));
      const steps = await this.steps();
      if (steps.length > kept) await rm(this.path(mostCrowded(steps)), { force: true });
    } catch {
      await rm(partial, { force: true }).catch(() => undefined);
    }
  }

  private path(step: number): string {
    return join(this.folder, `step-${step}${ending}`);
  }

  /** In order. */
  private async steps(): Promise<number[]> {
    const names = await readdir(this.folder).catch(() => []);
    return names
      .flatMap((name) => /^step-(\d+)\.safetensors$/.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b);
  }
}

/** The step, neither first nor last, whose two neighbours lie closest to each other. */
function mostCrowded(steps: number[]): number {
  let best = 1;
  const gap = (i: number) => (steps[i + 1] as number) - (steps[i - 1] as number);
  for (let i = 2; i + 1 < steps.length; i++) if (gap(i) < gap(best)) best = i;
  return steps[best] as number;
}
