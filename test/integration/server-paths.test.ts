import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ServerClient } from '../../extension/server-link/server-client.ts';
import type { JobSpec } from '../../server/protocol/job.ts';
import { writeByteTokenizer, byteTokens } from '../reference/byte-tokenizer.ts';
import { writeRandomCheckpoint } from '../reference/random-checkpoint.ts';
import { cleanUp, connect, eventually, ServeProcess, temporaryFolder, tinyModel } from './serve-process.ts';

// Only ends what has failed: on a busy machine a server alone may take long to start.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

let server: Awaited<ReturnType<typeof ServeProcess.start>>;
/** The folder that is open in the window, with a model and a teacher in it. */
let workspace: string;
/** A folder that nobody opened, with the same. */
let elsewhere: string;

function writeTeacher(folder: string): void {
  writeRandomCheckpoint(folder, { layout: 'full', dtype: 'F16', vocabSize: byteTokens.vocabSize });
  writeByteTokenizer(folder);
}

function folderWithModels(name: string): string {
  const folder = temporaryFolder(name);
  for (const each of ['model', 'teacher']) mkdirSync(join(folder, each));
  writeTeacher(join(folder, 'teacher'));
  const options = { vocabSize: byteTokens.vocabSize, bosTokenId: null, eosTokenId: null };
  writeRandomCheckpoint(join(folder, 'model'), { layout: 'onebit', ...options });
  writeByteTokenizer(join(folder, 'model'));
  writeFileSync(join(folder, 'text.txt'), 'let one = 1;\n'.repeat(50));
  return folder;
}

beforeAll(async () => {
  workspace = folderWithModels('workspace');
  elsewhere = folderWithModels('elsewhere');
  server = await ServeProcess.start([]);
});
afterAll(cleanUp);

const refused = { code: 'not-allowed' };
const tile = { name: 'model.layers.0.self_attn.q_proj', level: 0, x: 0, y: 0 };

async function withClient(
  folders: readonly string[],
  work: (client: ServerClient) => Promise<void>,
): Promise<void> {
  const client = await connect(server.file, folders);
  try {
    await work(client);
  } finally {
    await client.close();
  }
}

describe('paths that a client names', () => {
  it('are refused in every method where they lie outside of what its user opened', () =>
    withClient([workspace], async (client) => {
      const model = join(elsewhere, 'model');
      const teacher = join(elsewhere, 'teacher');
      const inside = { model: join(workspace, 'model'), teacher: join(workspace, 'teacher') };
      const output = join(workspace, 'made');
      const data = [join(workspace, 'text.txt')];
      await expect(client.request('model/load', { model })).rejects.toMatchObject(refused);
      await expect(client.request('inspect/layers', { id: 'i', model })).rejects.toMatchObject(refused);
      await expect(
        client.request('inspect/layers', { id: 'i', model: inside.model, teacher }),
      ).rejects.toMatchObject(refused);
      await expect(
        client.request('inspect/layers', { id: 'i', model: inside.model, other: model }),
      ).rejects.toMatchObject(refused);
      await expect(
        client.request('inspect/activations', { id: 'i', model: inside.model, teacher, text: 'a' }),
      ).rejects.toMatchObject(refused);
      await expect(client.request('inspect/checkpoints', { model })).rejects.toMatchObject(refused);
      const ofRun = { model: join(elsewhere, 'run', 'checkpoints', 'step-1'), ...tile };
      await expect(client.request('inspect/tile', ofRun)).rejects.toMatchObject(refused);
      await expect(client.request('inspect/tile', { model, ...tile })).rejects.toMatchObject(refused);
      await expect(
        client.request('inspect/tile', { model: inside.model, against: model, ...tile }),
      ).rejects.toMatchObject(refused);
      await expect(client.request('model/add', { model })).rejects.toMatchObject(refused);
      const path = join(model, 'model.safetensors');
      await expect(client.request('checkpoint-file/open', { path })).rejects.toMatchObject(refused);
      await expect(
        client.request('checkpoint-file/tensors', { path, from: 0, count: 1 }),
      ).rejects.toMatchObject(refused);
      await expect(
        client.request('checkpoint-file/statistics', { id: 's', path, name: 'model.norm.weight' }),
      ).rejects.toMatchObject(refused);
      const text = join(elsewhere, 'text.txt');
      const specs: [string, JobSpec][] = [
        ['model', { kind: 'quantize', model: teacher, output }],
        ['output', { kind: 'quantize', model: inside.teacher, output: join(elsewhere, 'made') }],
        ['teacher', { kind: 'distill', teacher, data, output }],
        ['student', { kind: 'distill', teacher: inside.teacher, student: model, data, output }],
        ['data', { kind: 'distill', teacher: inside.teacher, data: [...data, text], output }],
        [
          'teacherCache',
          { kind: 'distill', teacher: inside.teacher, data, output, teacherCache: join(elsewhere, 'cache') },
        ],
        ['teacher', { kind: 'evaluate', teacher, text: data[0] }],
        ['students', { kind: 'evaluate', teacher: inside.teacher, students: [model], text: data[0] }],
        ['text', { kind: 'evaluate', teacher: inside.teacher, text }],
        ['tasks.piqa', { kind: 'evaluate', teacher: inside.teacher, tasks: { piqa: text } }],
      ];
      for (const [field, spec] of specs) {
        await expect(client.request('job/start', spec), field).rejects.toMatchObject({
          ...refused,
          message: expect.stringMatching(`^${field}: .*outside.*onebit serve --allow`) as string,
        });
      }
      expect(await client.request('job/list', {})).toEqual([]);
      expect(readdirSync(elsewhere).sort()).toEqual(['model', 'teacher', 'text.txt']);
    }));

  it('are let through inside of it, for reading and for writing', () =>
    withClient([workspace], async (client) => {
      const model = join(workspace, 'model');
      expect(await client.request('model/load', { model })).toMatchObject({ state: 'ready' });
      const { layers } = await client.request('inspect/layers', { id: 'i', model });
      expect(layers.length).toBeGreaterThan(0);
      expect((await client.request('inspect/tile', { model, ...tile })).cells).not.toBe('');
      expect(await client.request('inspect/checkpoints', { model })).toEqual({ checkpoints: [] });
      const through = await client.request('inspect/activations', { id: 'i', model, text: 'let one = 1;' });
      expect(through.matrices).toHaveLength(layers.length);
      const path = join(model, 'model.safetensors');
      expect(await client.request('checkpoint-file/open', { path })).toMatchObject({ kind: 'onebit' });
      const { total, rows } = await client.request('checkpoint-file/tensors', { path, from: 0, count: 500 });
      expect(rows).toHaveLength(total);
      const name = 'model.norm.weight';
      const { finite } = await client.request('checkpoint-file/statistics', { id: 's', path, name });
      expect(finite).toBe(rows.find((row) => row.name === name)?.shape[0]);
      expect((await client.request('model/add', { model })).map((known) => known.path)).toContain(model);
      const output = join(workspace, 'quantized');
      const spec = { kind: 'quantize' as const, model: join(workspace, 'teacher'), output };
      const { id } = await client.request('job/start', spec);
      await eventually('the job', async () =>
        (await client.request('job/list', {})).some((job) => job.id === id && job.state === 'done')
          ? true
          : undefined,
      );
      expect(existsSync(join(output, 'model.safetensors'))).toBe(true);
    }));

  it('are refused by their names alone, whether something is there or not', () =>
    withClient([workspace], async (client) => {
      for (const path of [
        join(elsewhere, 'nothing'),
        `${workspace}/../${elsewhere.split('/').at(-1)}/model`,
        `${workspace}-beside`,
        '/',
        '/etc/passwd',
      ]) {
        await expect(client.request('model/load', { model: path }), path).rejects.toMatchObject(refused);
      }
      // Inside, the reason is the usual one.
      await expect(client.request('model/load', { model: join(workspace, 'nothing') })).rejects.toMatchObject(
        { code: 'not-found' },
      );
    }));

  it('count as what symbolic links lead to', () =>
    withClient([workspace], async (client) => {
      symlinkSync(join(elsewhere, 'model'), join(workspace, 'link'));
      symlinkSync(join(elsewhere, 'not-there-yet'), join(workspace, 'dangling'));
      symlinkSync('circle', join(workspace, 'circle'));
      symlinkSync('model', join(workspace, 'alias'));
      const quantize = (output: string) =>
        client.request('job/start', { kind: 'quantize', model: join(workspace, 'teacher'), output });
      await expect(client.request('model/load', { model: join(workspace, 'link') })).rejects.toMatchObject({
        ...refused,
        message: expect.stringContaining(join(elsewhere, 'model')) as string,
      });
      await expect(quantize(join(workspace, 'link', 'made'))).rejects.toMatchObject(refused);
      await expect(quantize(join(workspace, 'dangling'))).rejects.toMatchObject(refused);
      await expect(quantize(join(workspace, 'circle'))).rejects.toMatchObject({ code: 'unreadable' });
      expect(await client.request('model/load', { model: join(workspace, 'alias') })).toMatchObject({
        state: 'ready',
      });
      // A folder that was opened by a link's name is open under both names.
      const byLink = join(temporaryFolder('links'), 'workspace');
      symlinkSync(elsewhere, byLink);
      await client.request('folders/set', { folders: [byLink] });
      for (const path of [join(byLink, 'model'), join(elsewhere, 'model')]) {
        expect(await client.request('inspect/layers', { id: 'i', model: path })).toMatchObject({
          model: path,
        });
      }
    }));

  it('are those of its own window: what another has opened does not count', () =>
    withClient([elsewhere], async () => {
      const model = tinyModel();
      await withClient([workspace], async (client) => {
        await expect(client.request('model/load', { model })).rejects.toMatchObject(refused);
        await client.request('folders/set', { folders: [workspace, model] });
        await client.request('inspect/layers', { id: 'i', model });
        // What is said later stands in place of what was said before.
        await client.request('folders/set', { folders: [] });
        await expect(client.request('inspect/layers', { id: 'i', model })).rejects.toMatchObject(refused);
        await expect(client.request('folders/set', { folders: ['relative'] })).rejects.toMatchObject({
          code: 'bad-request',
        });
      });
    }));

  it('may always be the shipped models and those that were loaded before, to read and not to write', () =>
    withClient([], async (client) => {
      const known = join(workspace, 'model');
      expect((await client.request('model/list', {})).map(({ path }) => path)).toContain(known);
      for (const model of ['starter', known]) {
        expect(await client.request('model/load', { model })).toMatchObject({ state: 'ready' });
      }
      await client.request('inspect/layers', { id: 'i', model: known });
      const output = join(known, 'made');
      await expect(
        client.request('job/start', { kind: 'quantize', model: 'starter-teacher', output }),
      ).rejects.toMatchObject({ code: 'not-allowed', message: expect.stringMatching(/^output: /) as string });
    }));
});

it('serve --allow opens a folder for every client, and --model a model to read', async () => {
  const own = folderWithModels('own');
  const chosen = tinyModel();
  const second = await ServeProcess.start(['--allow', own, '--model', chosen]);
  const client = await connect(second.file, []);
  await client.request('inspect/layers', { id: 'i', model: join(own, 'model') });
  await client.request('inspect/layers', { id: 'i', model: chosen });
  const output = join(own, 'made');
  const { id } = await client.request('job/start', {
    kind: 'quantize',
    model: join(own, 'teacher'),
    output,
  });
  expect(id).toContain('quantize');
  await expect(
    client.request('job/start', { kind: 'quantize', model: join(own, 'teacher'), output: join(chosen, 'x') }),
  ).rejects.toMatchObject(refused);
  await client.close();
  await second.stop();
});

it("the HTTP field model names what the server lists, and no folder's path beside", async () => {
  const headers = { authorization: `Bearer ${server.file.token}`, 'content-type': 'application/json' };
  const ask = (model: string): Promise<Response> =>
    fetch(`http://127.0.0.1:${server.file.port}/v1/completions`, {
      method: 'POST',
      headers,
      body: JSON.stringify({ model, prompt: 'a', max_tokens: 1 }),
    });
  expect((await ask(join(elsewhere, 'model'))).status).toBe(404);
  expect((await ask(join(elsewhere, 'nothing'))).status).toBe(404);
  expect((await ask(join(workspace, 'model'))).status).toBe(200);
});
