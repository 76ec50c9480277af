import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../../server/checkpoint/open-checkpoint.ts';
import { modelFolder } from '../../../server/checkpoint/starter.ts';
import { disposeParameters } from '../../../server/distill/parameters.ts';
import { studentFromTeacher } from '../../../server/distill/student-start.ts';
import { fastestBackends } from './training-backends.ts';

const name = 'model.layers.0.self_attn.q_proj.weight';

describe.each(fastestBackends)('latent weights at the start, on %s', (_, activate) => {
  it.each(['signs', 'weights'] as const)(
    'of %s have the latent scale as their mean size',
    async (latentStart) => {
      await activate();
      const teacher = await openCheckpoint(modelFolder('starter-teacher'));
      const weight = await teacher.readFloats(name);
      const student = await studentFromTeacher(
        teacher,
        { start: 'ones', latentStart, latentScale: 0.03 },
        0,
        {},
      );
      const latent = await student.get(name)?.data<'float32'>();
      await teacher.close();
      disposeParameters(student);
      const sizes = [...(latent ?? [])].map(Math.abs);
      expect(sizes.reduce((sum, size) => sum + size, 0) / weight.length).toBeCloseTo(0.03, 6);
      expect([...(latent ?? [])].map((value) => value < 0)).toEqual([...weight].map((value) => value < 0));
      const ratio = sizes.map((size, i) => size / Math.abs(weight[i] ?? 0));
      const spread = latentStart === 'signs' ? sizes : ratio.filter(Number.isFinite);
      expect(Math.max(...spread) / Math.min(...spread)).toBeCloseTo(1, 3);
    },
  );
});
