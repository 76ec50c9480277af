import { basename, dirname } from 'node:path';
import * as vscode from 'vscode';
import { z } from 'zod';
import { outputOf, teacherCacheSchema, type Job, type JobSpec } from '../../server/protocol/job.ts';
import { presetSchema, recipeSchema } from '../../server/protocol/recipe.ts';
import { trainingBackendSchema } from '../../server/protocol/training-backend.ts';
import { readSettings } from '../settings.ts';
import { askCheckpoint, askFolder } from './choose-checkpoint.ts';
import { checkCheckpointFolder, freeOutputFolder } from './checkpoint-folder.ts';
import { sourceOf } from './job-follower.ts';
import type { WindowParts } from './window-parts.ts';

type DistillSpec = Extract<JobSpec, { kind: 'distill' }>;

/** The shipped teacher, where the extension has it. */
export type StarterTeacher = string | undefined;

/** *Quantize Checkpoint to 1 Bit (SVID)*: asks for nothing but the folder, and not for that in the explorer. */
export async function quantize(
  parts: WindowParts,
  starter: StarterTeacher,
  resource?: vscode.Uri,
): Promise<void> {
  const model = resource?.fsPath ?? (await askCheckpoint('Quantize Checkpoint to 1 Bit (SVID)', starter));
  if (model === undefined) return;
  await checkCheckpointFolder(model);
  const output = await chooseOutput(parts, 'quantize', model, 'svid', starter);
  if (output === undefined) return;
  await parts.folders.choose([model, output]);
  await start(parts, { kind: 'quantize', model, output });
}

/** *Distill a 1-Bit Student*: asks for the teacher (not in the explorer) and the training data. */
export async function distill(
  parts: WindowParts,
  starter: StarterTeacher,
  resource?: vscode.Uri,
): Promise<void> {
  const teacher = resource?.fsPath ?? (await askCheckpoint('Distill a 1-Bit Student: Teacher', starter));
  if (teacher === undefined) return;
  await checkCheckpointFolder(teacher);
  const recipe = distillSettings();
  const data = await askTrainingData();
  if (data === undefined) return;
  const output = await chooseOutput(parts, 'distill', teacher, 'onebit', starter);
  if (output === undefined) return;
  await parts.folders.choose([teacher, ...data, output]);
  await start(parts, { kind: 'distill', teacher, data, output, ...recipe });
}

/** *Compare Models*: asks for the teacher (not in the explorer), the model made from it, and a text. */
export async function evaluate(
  parts: WindowParts,
  starter: StarterTeacher,
  resource?: vscode.Uri,
): Promise<void> {
  const title = 'Compare Models';
  const teacher = resource?.fsPath ?? (await askCheckpoint(`${title}: Full-Precision Teacher`, starter));
  if (teacher === undefined) return;
  await checkCheckpointFolder(teacher);
  const student = await askFolder(`${title}: the 1-bit model made from it`, 'Compare');
  if (student === undefined) return;
  const [text] =
    (await vscode.window.showOpenDialog({
      title: `${title}: text that neither was trained on`,
      openLabel: 'Measure on This Text',
    })) ?? [];
  if (text === undefined) return;
  await parts.folders.choose([teacher, student, text.fsPath]);
  await start(parts, { kind: 'evaluate', teacher, students: [student], text: text.fsPath });
}

/** The setting `onebit.distill.recipe`. */
const distillSettingSchema = recipeSchema.partial().extend(teacherCacheSchema.shape).strict();

/** What the settings say of a distillation. Throws an error for the user where they cannot be used. */
function distillSettings(): Partial<DistillSpec> {
  const { minutes, backend, preset, recipe } = readSettings().distill;
  const trains = trainingBackendSchema.safeParse(backend);
  if (!trains.success) {
    throw new Error(`The setting onebit.distill.backend cannot be used. ${z.prettifyError(trains.error)}`);
  }
  const known = presetSchema.safeParse(preset);
  const own = distillSettingSchema.safeParse(recipe);
  if (!own.success) {
    throw new Error(`The setting onebit.distill.recipe cannot be used. ${z.prettifyError(own.error)}`);
  }
  return {
    ...(minutes > 0 ? { minutes } : {}),
    ...(trains.data === 'auto' ? {} : { backend: trains.data }),
    ...(known.success ? { preset: known.data } : {}),
    ...own.data,
  };
}

async function start(parts: WindowParts, spec: JobSpec): Promise<void> {
  await parts.link.connect();
  const job = await parts.link.request('job/start', spec);
  parts.log.info(`Job ${job.id}: ${spec.kind} into ${outputOf(job.spec) ?? job.folder}`);
  parts.jobs.follow(job);
}

interface DataItem extends vscode.QuickPickItem {
  choose: () => Promise<string[] | undefined>;
}

async function askTrainingData(): Promise<string[] | undefined> {
  const title = 'Distill a 1-Bit Student: Training Data';
  const items: DataItem[] = (vscode.workspace.workspaceFolders ?? []).map((folder) => ({
    label: `$(root-folder) ${folder.name}`,
    description: 'the code in this workspace',
    choose: () => Promise.resolve([folder.uri.fsPath]),
  }));
  items.push(
    {
      label: '$(folder-opened) Choose a folder…',
      description: 'text or code',
      choose: async () => {
        const folder = await askFolder(title, 'Train on This Folder');
        return folder === undefined ? undefined : [folder];
      },
    },
    {
      label: '$(file) Choose files…',
      description: 'text, code, .jsonl, .jsonl.gz or .parquet',
      choose: async () => {
        const files = await vscode.window.showOpenDialog({
          canSelectFiles: true,
          canSelectMany: true,
          title,
          openLabel: 'Train on These Files',
        });
        return files?.map((file) => file.fsPath);
      },
    },
  );
  const picked = await vscode.window.showQuickPick(items, {
    title,
    placeHolder: 'What the student learns from; best is what it will complete later',
  });
  return picked?.choose();
}

/**
 * Where the result goes: beside the checkpoint, under a name that is free. A job of the same kind that was
 * stopped half-way may be continued instead.
 */
async function chooseOutput(
  parts: WindowParts,
  kind: JobSpec['kind'],
  model: string,
  suffix: string,
  starter: StarterTeacher,
): Promise<string | undefined> {
  // The shipped teacher lies inside the extension: its students go into the workspace.
  const parent = model === starter ? vscode.workspace.workspaceFolders?.[0]?.uri.fsPath : dirname(model);
  const free =
    parent === undefined
      ? await askFolder('Where to put the 1-bit model', 'Put It Here').then((chosen) =>
          chosen === undefined ? undefined : freeOutputFolder(model, suffix, chosen),
        )
      : await freeOutputFolder(model, suffix, parent);
  if (free === undefined) return undefined;
  const stopped = parts.watch.jobs.findLast((job) => job.spec.kind === kind && canContinue(job, model));
  const begun = stopped && outputOf(stopped.spec);
  if (begun === undefined) return free;
  const resume = `Continue ${basename(begun)}`;
  const picked = await vscode.window.showQuickPick(
    [
      {
        label: resume,
        description: stopped?.progress && `${stopped.progress.done} of ${stopped.progress.total}`,
      },
      { label: 'Start anew', description: `in ${basename(free)}` },
    ],
    { title: 'This was begun before and stopped' },
  );
  if (picked === undefined) return undefined;
  return picked.label === resume ? begun : free;
}

function canContinue(job: Job, model: string): boolean {
  return sourceOf(job) === model && (job.state === 'cancelled' || job.state === 'interrupted');
}
