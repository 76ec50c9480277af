import { isAbsolute } from 'node:path';
import { z } from 'zod';
import { modelFolder } from '../checkpoint/starter.ts';
import { inspectActivations } from '../inspect/activations.ts';
import type { ListedFiles } from '../inspect/checkpoint-file/listed-files.ts';
import { tensorStatistics } from '../inspect/checkpoint-file/tensor-statistics.ts';
import { inspectLayers } from '../inspect/layers.ts';
import type { LayersCache } from '../inspect/layers-cache.ts';
import { inspectMatrix } from '../inspect/matrix.ts';
import { runCheckpoints, runFile, runOf } from '../inspect/run-files.ts';
import { inspectTile } from '../inspect/tile.ts';
import { resolveSpec } from '../jobs/job-command.ts';
import { exportJob } from '../jobs/export-job.ts';
import type { JobQueue } from '../jobs/job-queue.ts';
import { namedPaths, type NamedPath } from '../jobs/named-paths.ts';
import { chatCountParamsSchema, chatParamsSchema } from '../protocol/chat.ts';
import {
  checkpointFileParamsSchema,
  checkpointTensorsParamsSchema,
  tensorStatisticsParamsSchema,
} from '../protocol/checkpoint-file.ts';
import { completionParamsSchema } from '../protocol/completion.ts';
import { jobCurvesParamsSchema } from '../protocol/curves.ts';
import { OneBitError } from '../protocol/error.ts';
import {
  inspectActivationsParamsSchema,
  inspectCheckpointsParamsSchema,
  inspectLayersParamsSchema,
  inspectMatrixParamsSchema,
  inspectTileParamsSchema,
} from '../protocol/inspect.ts';
import { jobExportParamsSchema } from '../protocol/job-export.ts';
import { jobSpecSchema } from '../protocol/job.ts';
import { memoryPlanParamsSchema } from '../protocol/memory.ts';
import {
  maxFolders,
  type Notifications,
  type Requests,
  type ServerInfo,
  type ServerMemory,
  type Topic,
} from '../protocol/methods.ts';
import { modelLoadParamsSchema, tokenizeParamsSchema } from '../protocol/model.ts';
import { shortList } from '../protocol/schema.ts';
import { inSlices } from '../tokenizer/in-slices.ts';
import type { AllowedPaths } from './allowed-paths.ts';
import { chat, countChat } from './chat.ts';
import { complete } from './complete.ts';
import type { TextServices } from './generate-text.ts';
import type { KnownModels } from './known-models.ts';
import { withText } from './long-texts.ts';

/** What the methods work with. */
export interface Services extends TextServices {
  info: ServerInfo;
  models: KnownModels;
  jobs: JobQueue;
  allowed: AllowedPaths;
  /** Results of inspections that were made before. */
  inspections: LayersCache;
  /** Files that are being looked at. */
  files: ListedFiles;
  memory(): ServerMemory;
  /** Begins to stop the server; answers before it has. */
  stop(): void;
  /** Somebody has begun to watch a topic. */
  subscribed(): void;
}

/** The connection that a request came over. */
export interface Caller {
  greeted(client: string, version: string): void;
  /** Names the connection among others. */
  readonly name: string;
  /** What its user has opened or chosen. */
  folders: readonly string[];
  subscribe(topics: readonly Topic[]): void;
  notify<N extends keyof Notifications>(name: N, params: Notifications[N]): void;
}

interface Method<P, R> {
  params: z.ZodType<P>;
  run(params: P, services: Services, caller: Caller, signal: AbortSignal): Promise<R> | R;
}

/** Ties a method's schema to what runs it. */
function method<P, R>(params: z.ZodType<P>, run: Method<P, R>['run']): (input: unknown) => Bound<R> {
  return (input) => {
    const checked = params.safeParse(input ?? {});
    if (!checked.success) throw new OneBitError('bad-request', explain(checked.error));
    return (services, caller, signal) => run(checked.data, services, caller, signal);
  };
}

type Bound<R> = (services: Services, caller: Caller, signal: AbortSignal) => Promise<R> | R;
type MethodTable = { [M in keyof Requests]: (input: unknown) => Bound<Requests[M]['result']> };

const none = z.object({});
const modelPath = z.object({ model: z.string().min(1).max(4096) });
const jobId = z.object({ id: z.string().min(1).max(200) });
const helloParams = z.object({ client: z.string().min(1).max(100), version: z.string().max(100) });
const foldersParams = z.object({ folders: shortList(z.string().min(1).max(4096), maxFolders) });
const subscribeParams = z.object({ topics: z.array(z.enum(['jobs', 'memory', 'model'])).max(3) });

/** Every request that the server answers. */
export const methods: MethodTable = {
  'server/hello': method(helloParams, ({ client, version }, { info }, caller) => {
    caller.greeted(client, version);
    return info;
  }),
  'folders/set': method(foldersParams, ({ folders }, _services, caller) => {
    const relative = folders.find((folder) => !isAbsolute(folder));
    if (relative !== undefined) {
      throw new OneBitError('bad-request', `folders: "${relative}" is a relative path. Give absolute ones.`);
    }
    caller.folders = folders;
    return { folders };
  }),
  completion: method(completionParamsSchema, (params, services, caller, signal) =>
    complete(
      services,
      params,
      caller.name,
      (text) => caller.notify('completion/delta', { id: params.id, text }),
      signal,
    ),
  ),
  chat: method(chatParamsSchema, (params, services, caller, signal) =>
    chat(
      services,
      params,
      caller.name,
      (text) => caller.notify('chat/delta', { id: params.id, text }),
      signal,
    ),
  ),
  'chat/count': method(chatCountParamsSchema, (params, services, _caller, signal) =>
    countChat(services, params, signal),
  ),
  'model/list': method(none, (_, { models }) => models.list()),
  'model/add': method(modelPath, async ({ model }, { models, allowed }, caller) => {
    await allowed.check(reads({ model }), caller.folders);
    await models.remember(await models.describe(model));
    return models.list();
  }),
  'model/forget': method(modelPath, async ({ model }, { models }) => {
    await models.forget(model);
    return models.list();
  }),
  'model/load': method(modelLoadParamsSchema, async (params, { host, allowed }, caller, signal) => {
    await allowed.check(reads({ model: params.model }), caller.folders);
    return host.load(params, signal);
  }),
  'model/unload': method(none, (_, { host }) => host.unload()),
  'model/status': method(none, (_, { host }) => host.status()),
  'job/start': method(jobSpecSchema, async (unresolved, { jobs, allowed }, caller) => {
    const spec = resolveSpec(unresolved);
    await allowed.check(namedPaths(spec), caller.folders);
    return jobs.start(spec);
  }),
  'job/cancel': method(jobId, ({ id }, { jobs }) => jobs.cancel(id)),
  'job/list': method(none, (_, { jobs }) => jobs.list()),
  'job/metrics': method(jobId, ({ id }, { jobs }) => jobs.metrics(id)),
  'job/curves': method(jobCurvesParamsSchema, ({ id, from }, { jobs }) => jobs.curves(id, from)),
  'job/export': method(jobExportParamsSchema, async ({ id, format }, { jobs }) => {
    const { job, metrics } = await jobs.metrics(id);
    return exportJob(job, metrics, format);
  }),
  'inspect/layers': method(inspectLayersParamsSchema, async (params, services, caller, signal) => {
    const { id, model, teacher, other } = params;
    await services.allowed.check(reads({ model, teacher, other }), caller.folders);
    const place = await pathOf(services.models, model);
    const result = await inspectLayers(place, {
      teacher: teacher && (await pathOf(services.models, teacher)),
      other: other && (await pathOf(services.models, other)),
      cache: services.inspections,
      signal,
      onProgress: (progress) => caller.notify('inspect/progress', { id, progress }),
    });
    const named = runFile(place) === undefined ? (await services.models.describe(model)).id : model;
    return { ...result, model: named, teacher, other };
  }),
  'inspect/matrix': method(inspectMatrixParamsSchema, async (params, { models, allowed }, caller, signal) => {
    const { id, model, name, teacher, other, spectrum } = params;
    await allowed.check(reads({ model, teacher, other }), caller.folders);
    return inspectMatrix(await pathOf(models, model), name, {
      teacher: teacher && (await pathOf(models, teacher)),
      other: other && (await pathOf(models, other)),
      spectrum,
      signal,
      onProgress: (progress) => caller.notify('inspect/progress', { id, progress }),
    });
  }),
  'inspect/activations': method(inspectActivationsParamsSchema, async (params, services, caller, signal) => {
    const { id, model, teacher, text } = params;
    const { models, allowed } = services;
    await allowed.check(reads({ model, teacher }), caller.folders);
    return inspectActivations(await pathOf(models, model), text, {
      teacher: teacher && (await pathOf(models, teacher)),
      signal,
      onProgress: (progress) => caller.notify('inspect/progress', { id, progress }),
    });
  }),
  'inspect/checkpoints': method(
    inspectCheckpointsParamsSchema,
    async ({ model }, { models, allowed }, caller) => {
      await allowed.check(reads({ model }), caller.folders);
      const path = modelFolder(model);
      if (!isAbsolute(path)) await models.describe(model); // Says what is wrong with it.
      const run = await runOf(path);
      if (run === undefined) return { checkpoints: [] };
      await allowed.check(reads({ model: run }), caller.folders);
      return runCheckpoints(run);
    },
  ),
  'inspect/tile': method(inspectTileParamsSchema, async (params, { models, allowed }, caller, signal) => {
    const { model, against } = params;
    await allowed.check(reads({ model, against }), caller.folders);
    const place = await pathOf(models, model);
    const other = against && (await pathOf(models, against));
    return inspectTile({ ...params, model: place, against: other }, { signal });
  }),
  'checkpoint-file/open': method(checkpointFileParamsSchema, async ({ path }, services, caller) => {
    await checkFile(path, services, caller);
    return (await services.files.open(path)).summary;
  }),
  'checkpoint-file/tensors': method(checkpointTensorsParamsSchema, async (params, services, caller) => {
    await checkFile(params.path, services, caller);
    return services.files.tensors(params);
  }),
  'checkpoint-file/statistics': method(
    tensorStatisticsParamsSchema,
    async ({ id, path, name }, services, caller, signal) => {
      await checkFile(path, services, caller);
      const tensor = (await services.files.open(path)).byName.get(name);
      if (tensor === undefined) {
        throw new OneBitError('missing-tensor', `${path} has no tensor ${name.slice(0, 200)}.`);
      }
      return tensorStatistics(path, tensor, {
        signal,
        onProgress: (progress) => caller.notify('checkpoint-file/progress', { id, progress }),
      });
    },
  ),
  tokenize: method(tokenizeParamsSchema, ({ text }, { host }, _caller, signal) =>
    host.use(async ({ tokenizer, path }) => {
      if (tokenizer === undefined) throw new OneBitError('no-tokenizer', `${path} has no tokenizer.`);
      return withText(
        text.length,
        async () => ({ ids: await inSlices(tokenizer.encoding(text), signal) }),
        signal,
      );
    }, signal),
  ),
  'memory/read': method(none, (_, { memory }) => memory()),
  'memory/plan': method(memoryPlanParamsSchema, (params, { host }) => host.plan(params)),
  subscribe: method(subscribeParams, ({ topics }, { subscribed }, caller) => {
    caller.subscribe(topics);
    subscribed();
    return { topics };
  }),
  'server/stop': method(none, (_, { stop }) => {
    stop();
    return {};
  }),
};

/** Where a model, or a checkpoint of a training run, lies. @throws bad-request, what openCheckpoint throws */
async function pathOf(models: KnownModels, model: string): Promise<string> {
  return isAbsolute(model) && runFile(model) !== undefined ? model : (await models.describe(model)).path;
}

/** @throws bad-request (relative path), not-allowed */
async function checkFile(path: string, { allowed }: Services, caller: Caller): Promise<void> {
  if (!isAbsolute(path)) {
    throw new OneBitError('bad-request', `path: "${path}" is a relative path. Give an absolute one.`);
  }
  await allowed.check(reads({ path }), caller.folders);
}

/** The paths that a request reads, by its fields. */
function reads(fields: Record<string, string | undefined>): NamedPath[] {
  return Object.entries(fields).flatMap(([field, path]) =>
    path === undefined ? [] : [{ field, path, use: 'read' as const }],
  );
}

/** @throws OneBitError bad-request where the params do not fit the method's schema */
export function bind(name: string, params: unknown): Bound<unknown> | undefined {
  return Object.hasOwn(methods, name) ? methods[name as keyof Requests](params) : undefined;
}

/** The first problems of a value, each with the field it is in. */
export function explain(error: z.ZodError): string {
  return error.issues
    .slice(0, 3)
    .map(({ path, message }) => (path.length === 0 ? message : `${path.join('.')}: ${message}`))
    .join('; ');
}
