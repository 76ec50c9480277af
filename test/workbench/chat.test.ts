import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readServerFile } from '../../extension/server-link/find-server.ts';
import { byteTokens, writeByteTokenizer } from '../reference/byte-tokenizer.ts';
import { writeRandomCheckpoint } from '../reference/random-checkpoint.ts';
import { serverProcesses } from './harness/processes.ts';
import { until, useWorkbench } from './harness/workbench.ts';

// The model in VS Code's list of language models, as another extension finds and uses it. What it says is checked
// against the server's HTTP route.

const template =
  '{% for m in messages %}{{ m.role + ":" + m.content }}{% endfor %}' +
  '{% if add_generation_prompt %}{{ "A:" }}{% endif %}';

/** Another extension: its commands write what they got into the workspace. */
const code = `
const vscode = require('vscode');
const { writeFileSync, renameSync } = require('node:fs');
const { join } = require('node:path');
exports.activate = (context) => {
  const say = (result) => {
    const file = join(vscode.workspace.workspaceFolders[0].uri.fsPath, 'result.json');
    writeFileSync(file + '.new', JSON.stringify(result));
    renameSync(file + '.new', file);
  };
  const command = (name, run) => context.subscriptions.push(
    vscode.commands.registerCommand('chatTest.' + name, async () => {
      try { say(await run(await vscode.lm.selectChatModels({ vendor: 'onebit' }))); }
      catch (error) { say({ error: String(error && error.message) }); }
    }));
  const question = () => [vscode.LanguageModelChatMessage.User('Why?')];
  command('list', (models) => ({ models: models.map(({ id, name, vendor, maxInputTokens }) => ({ id, name, vendor, maxInputTokens })) }));
  command('ask', async ([model]) => {
    const answer = await model.sendRequest(question(), { modelOptions: { temperature: 0, max_tokens: 24 } });
    const pieces = [];
    for await (const piece of answer.text) pieces.push(piece);
    return { pieces, tokens: await model.countTokens('Why?'), withTurn: await model.countTokens(question()[0]) };
  });
  command('cancel', async ([model]) => {
    const source = new vscode.CancellationTokenSource();
    const answer = await model.sendRequest(question(), {}, source.token);
    let pieces = 0;
    try {
      for await (const piece of answer.text) if (++pieces === 3) source.cancel();
    } catch (error) { /* a cancelled stream may end by an error */ }
    return { pieces };
  });
};
`;
const titles = { list: 'Chat Test: List', ask: 'Chat Test: Ask', cancel: 'Chat Test: Ask and Cancel' };

const workbench = useWorkbench({
  settings: ({ base }) => ({
    'onebit.server.model': join(base, 'chat-model'),
    // Long enough for a window to come back.
    'onebit.server.stopAfterSeconds': 60,
  }),
  prepare: async ({ base, workspace }) => {
    const folder = join(base, 'chat-model');
    const { vocabSize } = byteTokens;
    writeRandomCheckpoint(folder, {
      ...{ layout: 'onebit', vocabSize, bosTokenId: null, eosTokenId: null, maxPositions: 4096 },
    });
    writeByteTokenizer(folder);
    await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify({ chat_template: template }));
    await writeFile(join(workspace, 'notes.txt'), '');
  },
  extension: {
    name: 'chat-caller',
    code,
    manifest: {
      activationEvents: ['onStartupFinished'],
      contributes: {
        commands: Object.entries(titles).map(([name, title]) => ({ command: `chatTest.${name}`, title })),
      },
    },
  },
});

/** Runs a command of the other extension and waits for what it has to say. */
async function run(name: keyof typeof titles): Promise<Record<string, unknown>> {
  const file = join(workbench().folders.workspace, 'result.json');
  await rm(file, { force: true });
  await workbench().command(titles[name]);
  let text: string | undefined;
  await until(`${titles[name]} has ended`, async () => {
    text = await readFile(file, 'utf8').catch(() => undefined);
    return text !== undefined;
  });
  return JSON.parse(text ?? '') as Record<string, unknown>;
}

const modelFolder = () => join(workbench().folders.base, 'chat-model');

test('looking at the list of models starts no server', async () => {
  expect(await run('list')).toEqual({ models: [] });
  expect(await serverProcesses(workbench().folders.state)).toEqual([]);
});

test('the model in use is on the list once it is loaded', async () => {
  await workbench().command('OneBit: Start Server');
  await until('a server runs', async () => {
    return (await readServerFile(workbench().folders.state)) !== undefined;
  });
  const client = await workbench().client();
  await client.request('model/load', { model: modelFolder() });
  await client.close();
  let listed: unknown;
  await until('it is listed', async () => {
    listed = (await run('list')).models;
    return Array.isArray(listed) && listed.length > 0;
  });
  expect(listed).toEqual([{ id: modelFolder(), name: 'chat-model', vendor: 'onebit', maxInputTokens: 3072 }]);
});

test('it answers in pieces what the server answers, and counts tokens', async () => {
  const server = await readServerFile(workbench().folders.state);
  const response = await fetch(`http://127.0.0.1:${server?.port}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${server?.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      ...{ messages: [{ role: 'user', content: 'Why?' }], temperature: 0, max_tokens: 24 },
      ...{ top_k: 40, top_p: 0.95, min_p: 0.05 },
    }),
  });
  const body = (await response.json()) as { choices: { message: { content: string } }[] };
  const answer = (await run('ask')) as { pieces: string[]; tokens: number; withTurn: number };
  expect(answer.pieces.join('')).toBe(body.choices[0]?.message.content);
  expect(answer.pieces.length).toBeGreaterThan(1);
  expect(answer).toMatchObject({ tokens: 4, withTurn: 9 });
});

test('it stops when the chat is cancelled', async () => {
  const { pieces } = (await run('cancel')) as { pieces: number };
  expect(pieces).toBeGreaterThan(0);
  const client = await workbench().client();
  try {
    await until('nothing runs', async () => {
      const { active, queued } = await client.request('model/status', {});
      return active + queued === 0;
    });
    const { port, token } = (await readServerFile(workbench().folders.state)) ?? {};
    const metrics = await fetch(`http://127.0.0.1:${port}/metrics`, {
      headers: { authorization: `Bearer ${token}` },
    });
    expect(await metrics.text()).toMatch(/^onebit_completions_total\{outcome="cancelled"\} [1-9]/m);
  } finally {
    await client.close();
  }
});

test('a reloaded window has the same server, and its model on the list before it asks for it', async () => {
  const { pid } = (await readServerFile(workbench().folders.state)) ?? {};
  await workbench().reload();
  expect(await run('list')).toMatchObject({ models: [{ id: modelFolder() }] });
  expect(await run('ask')).toMatchObject({ tokens: 4 });
  expect((await serverProcesses(workbench().folders.state)).map((each) => each.pid)).toEqual([pid]);
});

test('a model without a chat template is not on the list', async () => {
  const client = await workbench().client();
  await client.request('model/load', { model: 'starter' });
  await client.close();
  await until('it is off the list', async () => {
    const { models } = await run('list');
    return Array.isArray(models) && models.length === 0;
  });
});
