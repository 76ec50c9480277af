import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { starterFolder } from '../checkpoint/starter.ts';
import type { EngineOptions } from '../engine/engine.ts';
import { ListedFiles } from '../inspect/checkpoint-file/listed-files.ts';
import { LayersCache } from '../inspect/layers-cache.ts';
import { JobQueue } from '../jobs/job-queue.ts';
import type { OneBitCommand } from '../jobs/job-process.ts';
import { loopbackHost, stoppedReason, type Health } from '../protocol/discovery.ts';
import { asOneBitError, OneBitError } from '../protocol/error.ts';
import { outputOf, type Job } from '../protocol/job.ts';
import { protocolVersion, type ServerInfo, type ServerMemory } from '../protocol/methods.ts';
import { packageVersion } from '../package-root.ts';
import { Access } from './access.ts';
import { AllowedPaths } from './allowed-paths.ts';
import { atMostEvery } from './at-most-every.ts';
import { answerBrokenRequests, requestTimeoutMs } from './broken-requests.ts';
import { httpRoutes } from './http-routes.ts';
import { KnownModels } from './known-models.ts';
import { Leases } from './leases.ts';
import { MemoryWatch } from './memory-watch.ts';
import { Metrics } from './metrics.ts';
import { ModelHost, type OpenModel } from './model-host.ts';
import { RpcEndpoint } from './rpc-endpoint.ts';

export interface ServerOptions {
  /** Where jobs and the list of models are kept. */
  stateFolder: string;
  token: string;
  /** 0 = any free one. */
  port: number;
  openModel: OpenModel;
  /** How jobs run `onebit`. */
  command: OneBitCommand;
  /** `starter`, a folder, or undefined for none until one is loaded. */
  defaultModel: string | undefined;
  /** Folders that every client may name, to read and to write. */
  allowedFolders: readonly string[];
  engine: EngineOptions;
  /** Milliseconds without a completion until the weights are given back; 0 = never. */
  idleMs: number;
  /** Milliseconds without a client after which the server wants to stop; undefined = never. */
  leaseMs: number | undefined;
  /** The server was asked to stop, or nobody needs it any more. The caller closes it with that reason. */
  onStop(reason: string): void;
  log(message: string): void;
}

export interface RunningServer {
  readonly port: number;
  readonly startedAt: string;
  /**
   * Cancels completions, interrupts jobs, gives all memory back. Waits at most about a second for a job.
   * @param reason told to the clients
   */
  close(reason: string): Promise<void>;
}

/** Why a server that was started for its clients ends by itself. */
export const unusedReason = 'nobody has needed it for a while';

/** Milliseconds between two `model/changed`. */
const modelChangedMs = 100;
/** Milliseconds that closing waits for a job's last checkpoint. */
const jobPatienceMs = 1200;

/**
 * Starts the server on the loopback interface.
 * @throws busy (port taken), and what opening the job folder throws
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { log } = options;
  const startedAt = new Date().toISOString();
  const version = packageVersion();
  const info: ServerInfo = {
    name: 'onebit',
    version,
    protocol: protocolVersion,
    pid: process.pid,
    startedAt,
  };
  const access = new Access(options.token);
  const models = new KnownModels(options.stateFolder, log);
  const host = new ModelHost({
    open: options.openModel,
    describe: (model) => models.describe(model),
    defaultModel: options.defaultModel,
    idleMs: options.idleMs,
    engine: options.engine,
    onLoaded: (summary, { kind, name, path, reason }) => {
      const why = reason === undefined ? '' : ` (${reason})`;
      log(`${summary.name} runs on the ${kind.toUpperCase()}: ${name}, ${path}${why}`);
      void models.remember(summary);
    },
    warn: log,
  });
  const jobs = await JobQueue.open({
    folder: join(options.stateFolder, 'jobs'),
    command: options.command,
    warn: log,
  });
  const shipped = [starterFolder(), ...(options.defaultModel === undefined ? [] : [options.defaultModel])];
  const allowed = new AllowedPaths({
    folders: options.allowedFolders,
    models: async () => [...shipped, ...(await models.remembered())],
  });
  const leases = new Leases(
    options.leaseMs,
    () => jobs.pending > 0 || host.busy > 0,
    () => options.onStop(unusedReason),
  );

  const memory = (): ServerMemory => ({ process: processMemory(), model: host.status() });
  const metrics = new Metrics(memory);
  const http = createServer({ requestTimeout: requestTimeoutMs, connectionsCheckingInterval: 10_000 });
  answerBrokenRequests(http);
  const endpoint = new RpcEndpoint(
    http,
    access,
    {
      info,
      host,
      metrics,
      models,
      jobs,
      allowed,
      files: new ListedFiles(),
      inspections: new LayersCache(join(options.stateFolder, 'inspections')),
      memory,
      stop: () => options.onStop(stoppedReason),
      subscribed: () => memoryWatch.begin(),
    },
    leases,
    log,
  );
  const health = (): Health => ({
    status: host.status().state === 'loading' ? 'loading' : 'ok',
    version,
    protocol: protocolVersion,
    pid: process.pid,
    clients: endpoint.connections,
    completions: host.busy,
    jobs: jobs.pending,
  });
  http.on('request', httpRoutes({ access, host, metrics, models, leases, health }));

  const memoryWatch = new MemoryWatch(
    memory,
    () => endpoint.wanted('memory'),
    (changed) => endpoint.broadcast('memory', 'memory/changed', changed),
  );
  const modelChanged = atMostEvery(modelChangedMs, () => {
    if (endpoint.wanted('model')) endpoint.broadcast('model', 'model/changed', host.status());
  });
  host.onChange(() => {
    modelChanged.call();
    memoryWatch.wake();
  });
  jobs.onProgress((progress) => {
    endpoint.broadcast('jobs', 'job/progress', progress);
    if (progress.job.state === 'done') void rememberOutput(models, progress.job);
  });

  const port = await listen(http, options.port);
  leases.begin();
  return {
    port,
    startedAt,
    close: async (reason) => {
      leases.dispose();
      memoryWatch.dispose();
      endpoint.close(reason);
      http.close();
      http.closeAllConnections();
      await Promise.all([jobs.close(jobPatienceMs), host.dispose()]);
      modelChanged.dispose();
    },
  };
}

/** What a job has made can be chosen from the list. */
async function rememberOutput(models: KnownModels, { spec }: Job): Promise<void> {
  const output = outputOf(spec);
  if (output === undefined) return;
  const summary = await models.describe(output).catch(() => undefined);
  if (summary !== undefined) await models.remember(summary);
}

async function listen(http: Server, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    http.once('error', (error) => {
      const taken = 'code' in error && error.code === 'EADDRINUSE';
      reject(
        taken
          ? new OneBitError(
              'busy',
              `Port ${port} of ${loopbackHost} is taken by another program. Choose another with --port, or leave it out.`,
              { cause: error },
            )
          : asOneBitError(error, `port ${port}`),
      );
    });
    http.listen(port, loopbackHost, () => resolve());
  });
  return (http.address() as AddressInfo).port;
}

function processMemory(): ServerMemory['process'] {
  const { rss, heapUsed } = process.memoryUsage();
  return { rssBytes: rss, heapBytes: heapUsed, uptimeSeconds: Math.round(process.uptime()) };
}
