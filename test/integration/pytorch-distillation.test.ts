import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findPyTorch, lossDifference, measureTraining, paperRecipe } from '../bench/training-speed.mjs';

const hasPyTorch = findPyTorch() !== undefined;
const shape = { hiddenSize: 64, intermediateSize: 96, layers: 2, heads: 4, kvHeads: 2, maxPositions: 64 };

// test/reference/pytorch/distill.py is a second implementation, from the paper: same start, data and order.
test.skipIf(!hasPyTorch)(
  'the preset paper has the losses of an independent PyTorch implementation, step by step',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'onebit-pytorch-'));
    try {
      const recipe = { ...paperRecipe, batch: 2, window: 64, steps: 50, threads: 1 };
      const { onebit, pytorch } = await measureTraining(
        { shape, recipe, flags: [], rounds: 1, peer: true },
        join(folder, 'run'),
      );
      if (pytorch === undefined) throw new Error('PyTorch was there a moment ago.');
      expect(onebit.losses).toHaveLength(50);
      // That it learns: the same windows cost less than a student that stays as it is pays for them.
      const { onebit: still } = await measureTraining(
        { shape, recipe, flags: ['--learning-rate', 1e-9], rounds: 1, peer: false },
        join(folder, 'still'),
      );
      const sum = (losses: number[]) => losses.reduce((total, loss) => total + loss, 0);
      expect(still.losses[0]).toBe(onebit.losses[0]);
      expect(sum(onebit.losses.slice(-10))).toBeLessThan(sum(still.losses.slice(-10)));
      expect(lossDifference({ onebit, pytorch })).toBeLessThan(1e-3);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
  120_000,
);
