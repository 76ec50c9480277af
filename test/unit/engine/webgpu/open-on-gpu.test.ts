import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openLanguageModel } from '../../../../server/engine/open-language-model.ts';
import { openEngine } from '../../../../server/engine/open-engine.ts';
import { GpuDevice } from '../../../../server/gpu/device.ts';
import { writeRandomCheckpoint } from '../../../reference/random-checkpoint.ts';
import { noSoftwareAdapter, softwareDevice } from '../../../reference/software-adapter.ts';

const sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };
const request = { prompt: [1, 5, 9, 3], maxTokens: 12, sampling, stop: [], stopIds: [] };

describe.skipIf(noSoftwareAdapter !== undefined)('a model on a GPU that was asked for', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'onebit-gpu-'));
    for (const layout of ['onebit', 'full'] as const) {
      writeRandomCheckpoint(join(folder, layout), { layout, maxPositions: 64, seed: 3 });
    }
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('says what the CPU says, from the GPU’s memory, and goes on there when the device is lost', async () => {
    const path = join(folder, 'onebit');
    const cpu = await openLanguageModel(path, { device: 'cpu', exact: true });
    const wanted = (await cpu.generate(request)).ids;
    await cpu.dispose();
    const opened: GpuDevice[] = [];
    const { open } = GpuDevice;
    GpuDevice.open = async (...given) => {
      const gpu = await open(...given);
      opened.push(gpu);
      return gpu;
    };
    const notices: string[] = [];
    const model = await openLanguageModel(
      path,
      { device: softwareDevice, exact: true },
      { onNotice: (message) => notices.push(message) },
    ).finally(() => (GpuDevice.open = open));
    expect(model.memory().device).toMatchObject({ kind: 'gpu', reason: `asked for with ${softwareDevice}` });
    expect((await model.generate(request)).ids).toEqual(wanted);
    let told = 0;
    const { ids } = await model.generate(request, () => {
      if (++told === 4) opened[0]?.device.destroy();
    });
    expect(ids).toEqual(wanted);
    expect(model.memory().device).toMatchObject({ kind: 'cpu' });
    expect(notices.join('\n')).toMatch(/was lost .* The model goes on with the CPU/s);
    await model.dispose();
  });

  it('is not a software adapter unless it is named: auto says why it takes the CPU', async () => {
    for (const [layout, reason] of [
      ['onebit', /^auto: there is no hardware GPU here, only .*SwiftShader|^auto: .*llvmpipe/],
      ['full', /^auto: The GPU engine runs 1-bit checkpoints/],
    ] as const) {
      const engine = await openEngine(join(folder, layout), { device: 'auto' });
      expect(engine.memory().device.kind).toBe('cpu');
      expect(engine.memory().device.reason).toMatch(reason);
      await engine.dispose();
    }
  });

  it('refuses a full-precision model before anything of the GPU is touched', async () => {
    await expect(openEngine(join(folder, 'full'), { device: softwareDevice })).rejects.toMatchObject({
      code: 'unsupported',
    });
  });
});
