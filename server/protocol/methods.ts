import type { ChatCountParams, ChatDelta, ChatParams, ChatResult } from './chat.ts';
import type {
  CheckpointFileParams,
  CheckpointFileProgress,
  CheckpointFileSummary,
  CheckpointTensors,
  CheckpointTensorsParams,
  TensorStatistics,
  TensorStatisticsParams,
} from './checkpoint-file.ts';
import type { CompletionDelta, CompletionParams, CompletionResult } from './completion.ts';
import type {
  InspectActivationsParams,
  InspectActivationsResult,
  InspectCheckpointsParams,
  InspectCheckpointsResult,
  InspectLayersParams,
  InspectLayersResult,
  InspectMatrixParams,
  InspectMatrixResult,
  InspectProgress,
  InspectTileParams,
  InspectTileResult,
} from './inspect.ts';
import type { Job, JobProgress, JobSpec } from './job.ts';
import type { JobCurves, JobCurvesParams } from './curves.ts';
import type { JobExport, JobExportParams } from './job-export.ts';
import type { MemoryPlan, MemoryPlanParams, ProcessMemory } from './memory.ts';
import type { ModelLoadParams, ModelStatus, ModelSummary } from './model.ts';

/** WebSocket requests: JSON-RPC 2.0, one message a text frame. Cancel with `$/cancelRequest {id}`. */
export interface Requests {
  'server/hello': { params: { client: string; version: string }; result: ServerInfo };
  /**
   * What the user has opened or chosen in the client's window: absolute paths of folders and files, in place of those
   * said before. Requests of this connection may name paths inside them and no others.
   */
  'folders/set': { params: { folders: string[] }; result: { folders: string[] } };
  completion: { params: CompletionParams; result: CompletionResult };
  chat: { params: ChatParams; result: ChatResult };
  'chat/count': { params: ChatCountParams; result: { tokens: number } };
  'model/list': { params: Record<string, never>; result: ModelSummary[] };
  /** Puts a model on the list without loading it. */
  'model/add': { params: { model: string }; result: ModelSummary[] };
  /** Takes a model off the list; its files stay. */
  'model/forget': { params: { model: string }; result: ModelSummary[] };
  'model/load': { params: ModelLoadParams; result: ModelStatus };
  'model/unload': { params: Record<string, never>; result: ModelStatus };
  'model/status': { params: Record<string, never>; result: ModelStatus };
  'job/start': { params: JobSpec; result: Job };
  'job/cancel': { params: { id: string }; result: Job };
  'job/list': { params: Record<string, never>; result: Job[] };
  /** The job with all its metrics so far; progress follows as `job/progress`. */
  'job/metrics': { params: { id: string }; result: JobProgress };
  /** The same as columns, piece by piece. */
  'job/curves': { params: JobCurvesParams; result: JobCurves };
  'job/export': { params: JobExportParams; result: JobExport };
  'inspect/layers': { params: InspectLayersParams; result: InspectLayersResult };
  'inspect/matrix': { params: InspectMatrixParams; result: InspectMatrixResult };
  'inspect/activations': { params: InspectActivationsParams; result: InspectActivationsResult };
  'inspect/checkpoints': { params: InspectCheckpointsParams; result: InspectCheckpointsResult };
  'inspect/tile': { params: InspectTileParams; result: InspectTileResult };
  /** A .safetensors or .gguf file: its header, its tensors piece by piece, and the values of one of them. */
  'checkpoint-file/open': { params: CheckpointFileParams; result: CheckpointFileSummary };
  'checkpoint-file/tensors': { params: CheckpointTensorsParams; result: CheckpointTensors };
  'checkpoint-file/statistics': { params: TensorStatisticsParams; result: TensorStatistics };
  tokenize: { params: { text: string }; result: { ids: number[] } };
  'memory/read': { params: Record<string, never>; result: ServerMemory };
  'memory/plan': { params: MemoryPlanParams; result: MemoryPlan };
  /** Starts or ends the notifications of that topic for this connection. */
  subscribe: { params: { topics: Topic[] }; result: { topics: Topic[] } };
  /** Ends the server: cancels, writes state, exits. */
  'server/stop': { params: Record<string, never>; result: Record<string, never> };
}

/** WebSocket notifications from the server. */
export interface Notifications {
  'completion/delta': CompletionDelta;
  'chat/delta': ChatDelta;
  'job/progress': JobProgress;
  'memory/changed': ServerMemory;
  'model/changed': ModelStatus;
  'inspect/progress': InspectProgress;
  'checkpoint-file/progress': CheckpointFileProgress;
}

export type Topic = 'jobs' | 'memory' | 'model';

export interface ServerInfo {
  name: 'onebit';
  version: string;
  protocol: number;
  pid: number;
  startedAt: string;
}

export interface ServerMemory {
  process: ProcessMemory;
  model: ModelStatus;
}

/** Raised when a message changes its meaning. */
export const protocolVersion = 4;

/** Folders and files that `folders/set` takes at most. */
export const maxFolders = 512;
