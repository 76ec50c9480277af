import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { firstThatServes } from '../../server/engine/choose-device.ts';
import { chooseAdapter } from '../../server/gpu/adapters.ts';
import { CrashJournal } from '../../server/gpu/crash-journal.ts';
import { noSoftwareAdapter, softwareDevice, softwareEnvironment } from '../reference/software-adapter.ts';
import { cleanUp, connect, eventually, ServeProcess, temporaryFolder, tinyModel } from './serve-process.ts';

// Only ends what has failed: a software adapter is slow on a busy machine.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

describe.skipIf(noSoftwareAdapter !== undefined)('a GPU whose driver kills the server', () => {
  const state = temporaryFolder('state');
  const folder = join(state, 'gpu');
  const journal = new CrashJournal(folder);
  let model: string;

  beforeAll(() => {
    Object.assign(process.env, softwareEnvironment);
    model = tinyModel();
  });
  afterAll(cleanUp);

  const start = () =>
    ServeProcess.start(['--model', model, '--device', softwareDevice, '--context', '64'], state);
  const phases = () =>
    readdirSync(folder)
      .filter((name) => name.endsWith('.json'))
      .map((name) => (JSON.parse(readFileSync(join(folder, name), 'utf8')) as { phase: string }).phase);
  const decision = async (now?: number) => {
    const chosen = await chooseAdapter(softwareDevice);
    return { avoided: journal.avoid(chosen.info, now), choice: firstThatServes([chosen], 0, journal) };
  };

  it('is taken again after one death in the middle of its work, and left alone after two', async () => {
    for (const deaths of [1, 2]) {
      const server = await start();
      const client = await connect(server.file);
      await client.request('model/load', { model });
      expect(phases()).toContain('computing');
      server.child.kill('SIGSEGV');
      expect((await server.ended).signal).toBe('SIGSEGV');
      await client.close().catch(() => undefined);
      const { avoided, choice } = await decision();
      expect(choice.kind).toBe(deaths === 1 ? 'gpu' : 'cpu');
      if (deaths === 2) {
        expect(choice.reason).toMatch(/^auto: a process that used .* was killed \(20.*--device gpu:NAME/);
        expect(choice.reason).toContain(avoided);
      }
    }
    // Another day is another chance.
    expect((await decision(Date.now() + 25 * 3_600_000)).avoided).toBeUndefined();
  });

  it('serves who asks for it by name, and is forgiven when it has worked to the end', async () => {
    const server = await start();
    const client = await connect(server.file);
    const { memory } = await client.request('model/load', { model });
    expect(memory?.device.kind).toBe('gpu');
    expect((await decision()).choice.kind).toBe('cpu');
    await client.close();
    expect((await server.stop()).signal).toBeNull();
    expect((await decision()).choice.kind).toBe('gpu');
    // A server that ends as it should leaves no mark.
    expect(phases()).toEqual([]);
  });

  it('is left alone after one death while it was opened', async () => {
    const server = await start();
    const client = await connect(server.file);
    const loading = client.request('model/load', { model });
    await eventually('the mark', () => (phases().includes('opening') ? true : undefined));
    server.child.kill('SIGSEGV');
    await expect(loading).rejects.toMatchObject({ code: 'disconnected' });
    await server.ended;
    const { choice } = await decision(Date.now() + 48 * 3_600_000);
    expect(choice).toMatchObject({
      kind: 'cpu',
      reason: expect.stringMatching(/a process that opened .* was killed/) as string,
    });
    const { info } = await chooseAdapter(softwareDevice);
    expect(journal.avoid({ ...info, driver: `${info.driver} and newer` })).toBeUndefined();
  });
});
