import { cp, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Job } from '../../server/protocol/job.ts';
import { root, starterTeacher } from './harness/places.ts';
import { until, useWorkbench } from './harness/workbench.ts';

const workbench = useWorkbench({
  settings: () => ({ 'onebit.distill.minutes': 0.4, 'onebit.completion.enabled': false }),
  prepare: async ({ workspace }) => {
    await cp(starterTeacher, join(workspace, 'teacher'), { recursive: true });
    await cp(join(root, 'extension'), join(workspace, 'code'), { recursive: true });
  },
});

const inWorkspace = (...parts: string[]) => join(workbench().folders.workspace, ...parts);

async function jobs(): Promise<Job[]> {
  const client = await workbench().client();
  try {
    return await client.request('job/list', {});
  } finally {
    await client.close();
  }
}

async function methodOf(folder: string): Promise<unknown> {
  const text = await readFile(inWorkspace(folder, 'config.json'), 'utf8');
  const config = JSON.parse(text) as { quantization_config?: { quant_method?: unknown } };
  return config.quantization_config?.quant_method;
}

test('a folder that is no checkpoint is refused with the reason', async () => {
  await workbench().contextMenu('code', 'Quantize Checkpoint to 1 Bit (SVID)');
  const error = workbench().notification('"code" has no config.json');
  await error.waitFor();
  expect(await error.innerText()).toContain('Show Log');
  await workbench().picture('jobs-1-no-checkpoint');
  await workbench().command('Notifications: Clear All Notifications');
});

test('quantize, from the menu of a folder in the explorer', async () => {
  await workbench().recordTexts();
  await workbench().contextMenu('teacher', 'Quantize Checkpoint to 1 Bit (SVID)', 'jobs-2-menu');
  await workbench().notification('The 1-bit model is in teacher-svid').waitFor();
  await workbench().picture('jobs-3-quantized');
  const seen = await workbench().recordedTexts();
  expect(seen.some((text) => text.includes('Quantizing teacher to 1 bit'))).toBe(true);
  expect(await methodOf('teacher-svid')).toBe('onebit');
  expect(await readdir(inWorkspace('teacher-svid'))).toContain('model.safetensors');
  const [job] = await jobs();
  expect(job).toMatchObject({ state: 'done', spec: { kind: 'quantize', model: inWorkspace('teacher') } });
  await workbench().command('Notifications: Clear All Notifications');
});

test('distill, from the palette, with progress', async () => {
  await workbench().recordTexts();
  await workbench().command('OneBit: Distill a 1-Bit Student');
  await workbench().page.locator('.quick-input-title', { hasText: 'Teacher' }).waitFor();
  await workbench().picture('jobs-4-teacher');
  await workbench().pick('teacher');
  await workbench().page.locator('.quick-input-title', { hasText: 'Training Data' }).waitFor();
  await workbench().picture('jobs-5-data');
  await workbench().pick('the code in this workspace');
  await workbench()
    .notification(/Distilling teacher to 1 bit.*loss/s)
    .waitFor();
  await until('the status bar counts', async () =>
    /distilling \d+%/.test(await workbench().status.innerText()),
  );
  await workbench().picture('jobs-6-progress');
});

test('a reloaded window shows the running job again, to its end', async () => {
  await workbench().reload();
  await workbench().notification('Distilling teacher to 1 bit').waitFor();
  await workbench().picture('jobs-7-after-reload');
  await workbench().notification('The 1-bit model is in teacher-onebit').waitFor({ timeout: 100_000 });
  await workbench().picture('jobs-8-distilled');
  expect(await methodOf('teacher-onebit')).toBe('onebit');
  const job = (await jobs()).find(({ spec }) => spec.kind === 'distill');
  expect(job).toMatchObject({ state: 'done', spec: { data: [workbench().folders.workspace] } });
});

test('the new model is used at the press of a button', async () => {
  await workbench().page.locator('.notifications-toasts .monaco-button', { hasText: 'Use Model' }).click();
  const client = await workbench().client();
  try {
    await until('it is loaded', async () => {
      const { state, model } = await client.request('model/status', {});
      return state === 'ready' && model?.path === inWorkspace('teacher-onebit');
    });
  } finally {
    await client.close();
  }
});

test('a job is cancelled from its progress', async () => {
  await workbench().contextMenu('teacher', 'Distill a 1-Bit Student');
  await workbench().pick('the code in this workspace');
  const progress = workbench().notification(/Distilling teacher to 1 bit.*loss/s);
  await progress.waitFor();
  await progress.hover();
  await progress.locator('.monaco-button', { hasText: 'Cancel' }).click();
  await progress.waitFor({ state: 'detached' });
  await until('it is cancelled', async () =>
    (await jobs()).some(
      ({ state, spec }) =>
        state === 'cancelled' && spec.kind === 'distill' && spec.output.endsWith('teacher-onebit-2'),
    ),
  );
  await until(
    'the status bar is calm',
    async () => !(await workbench().status.innerText()).includes('distill'),
  );
  await workbench().picture('jobs-9-cancelled');
});
