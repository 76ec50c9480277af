import { z } from 'zod';
import { inspectLayers } from '../inspect/layers.ts';
import { inspectSigns } from '../inspect/signs.ts';
import type { JobQueue } from '../jobs/job-queue.ts';
import { completionParamsSchema } from '../protocol/completion.ts';
import { OneBitError } from '../protocol/error.ts';
import { inspectLayersParamsSchema, inspectSignsParamsSchema } from '../protocol/inspect.ts';
import { jobSpecSchema } from '../protocol/job.ts';
import type { Notifications, Requests, ServerInfo, ServerMemory, Topic } from '../protocol/methods.ts';
import { modelLoadParamsSchema, tokenizeParamsSchema } from '../protocol/model.ts';
import { complete } from './complete.ts';
import type { TextServices } from './generate-text.ts';
import type { KnownModels } from './known-models.ts';

/** What the methods work with. */
export interface Services extends TextServices {
  info: ServerInfo;
  models: KnownModels;
  jobs: JobQueue;
  memory(): ServerMemory;
  /** Begins to stop the server; answers before it has. */
  stop(): void;
  /** Somebody has begun to watch a topic. */
  subscribed(): void;
}

/** The connection that a request came over. */
export interface Caller {
  greeted(client: string, version: string): void;
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
const jobId = z.object({ id: z.string().min(1).max(200) });
const helloParams = z.object({ client: z.string().min(1).max(100), version: z.string().max(100) });
const subscribeParams = z.object({ topics: z.array(z.enum(['jobs', 'memory', 'model'])).max(3) });

/** Every request that the server answers. */
export const methods: MethodTable = {
  'server/hello': method(helloParams, ({ client, version }, { info }, caller) => {
    caller.greeted(client, version);
    return info;
  }),
  completion: method(completionParamsSchema, (params, services, caller, signal) =>
    complete(services, params, (text) => caller.notify('completion/delta', { id: params.id, text }), signal),
  ),
  'model/list': method(none, (_, { models }) => models.list()),
  'model/load': method(modelLoadParamsSchema, (params, { host }, _caller, signal) =>
    host.load(params, signal),
  ),
  'model/unload': method(none, (_, { host }) => host.unload()),
  'model/status': method(none, (_, { host }) => host.status()),
  'job/start': method(jobSpecSchema, (spec, { jobs }) => jobs.start(spec)),
  'job/cancel': method(jobId, ({ id }, { jobs }) => jobs.cancel(id)),
  'job/list': method(none, (_, { jobs }) => jobs.list()),
  'job/metrics': method(jobId, ({ id }, { jobs }) => jobs.metrics(id)),
  'inspect/layers': method(inspectLayersParamsSchema, async (params, { models }, caller, signal) => {
    const model = await models.describe(params.model);
    const teacher = params.teacher === undefined ? undefined : await models.describe(params.teacher);
    const result = await inspectLayers(model.path, {
      teacher: teacher?.path,
      signal,
      onProgress: (progress) => caller.notify('inspect/progress', { id: params.id, progress }),
    });
    return { ...result, model: model.id, teacher: params.teacher };
  }),
  'inspect/signs': method(inspectSignsParamsSchema, async (params, { models }, _caller, signal) =>
    inspectSigns({ ...params, model: (await models.describe(params.model)).path }, { signal }),
  ),
  tokenize: method(tokenizeParamsSchema, ({ text }, { host }, _caller, signal) =>
    host.use(async ({ tokenizer, path }) => {
      if (tokenizer === undefined) throw new OneBitError('no-tokenizer', `${path} has no tokenizer.`);
      return { ids: tokenizer.encode(text) };
    }, signal),
  ),
  'memory/read': method(none, (_, { memory }) => memory()),
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
