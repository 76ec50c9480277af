import type { JobCurves } from './curves.ts';
import type { InspectLayersResult } from './inspect.ts';
import type { Job, Metric } from './job.ts';
import type { MemoryPlan, MemoryPlanParams } from './memory.ts';
import type { MemoryReading } from './memory-readings.ts';
import type { ServerMemory } from './methods.ts';
import type { ModelSummary } from './model.ts';
import type { FromLayers, ToLayers } from './panel-layers.ts';
import type { Progress } from './progress.ts';

export type PanelConnection = 'starting' | 'connected' | 'stopped' | 'failed';

/** The statistics of layers that are being read now. */
export interface Inspecting {
  /** Of the request to the server. */
  id: string;
  /** Id of the model. */
  model: string;
  /** Folder of the full-precision model that it is compared with. */
  teacher?: string;
  progress?: Progress;
}

/** Everything the panel shows. The extension posts a fresh snapshot whenever the panel becomes visible. */
export interface PanelSnapshot {
  connection: PanelConnection;
  /** Why, when failed. */
  connectionError?: string;
  memory?: ServerMemory;
  /** Of the memory, oldest first: what was seen while the panel was visible. */
  readings?: MemoryReading[];
  models: ModelSummary[];
  jobs: Job[];
  /** By job id. Long runs are thinned out evenly; steps with a perplexity are all there. */
  metrics: Record<string, Metric[]>;
  layers?: InspectLayersResult;
  layersError?: string;
  inspecting?: Inspecting;
}

/** Extension → webview. */
export type ToPanel =
  | { type: 'snapshot'; snapshot: PanelSnapshot }
  | { type: 'connection'; connection: PanelConnection; error?: string }
  | { type: 'memory'; memory: ServerMemory }
  /** The answer to `planMemory`, or why there is none. */
  | { type: 'plan'; plan?: MemoryPlan; error?: string }
  | { type: 'models'; models: ModelSummary[] }
  /** `metrics`: only those since the last message about this job. */
  | { type: 'job'; job: Job; metrics: Metric[] }
  /** The next points of a run, all of them; `from` is 0 where they begin anew. */
  | { type: 'curves'; id: string; from: number; curves: JobCurves }
  | { type: 'inspecting'; inspecting: Inspecting }
  | { type: 'layers'; layers: InspectLayersResult }
  | { type: 'layersError'; message: string }
  | ToLayers
  /** The answer to `chooseOther`, where a folder was chosen. */
  | { type: 'otherChosen'; model: string; path: string }
  /** Brings the tab with the layers to the front. */
  | { type: 'showLayers' };

/** Webview → extension. */
export type FromPanel =
  | FromLayers
  | { type: 'ready' }
  | { type: 'startServer' }
  | { type: 'showLog' }
  | { type: 'chooseModel' }
  | { type: 'unloadModel' }
  | { type: 'loadModel'; model: string }
  | { type: 'planMemory'; params: MemoryPlanParams }
  | { type: 'inspect'; model: string; teacher?: string }
  | { type: 'cancelInspect' }
  /** Asks for a folder, then inspects `model` against it. */
  | { type: 'chooseTeacher'; model: string }
  /** Asks for the folder of another 1-bit checkpoint that `model` is to be compared with. */
  | { type: 'chooseOther'; model: string }
  | { type: 'cancelJob'; id: string }
  /** Starts a job that stopped once more; a distillation goes on from its last checkpoint. */
  | { type: 'resumeJob'; id: string }
  /** Asks for all points of a run; what is measured later follows as `job`. */
  | { type: 'curves'; id: string }
  | { type: 'exportJob'; id: string; format: 'csv' | 'tensorboard' }
  /** @param content PNG in base64 */
  | { type: 'savePicture'; name: string; content: string }
  /** A table or a picture that is text: CSV, JSON, SVG. */
  | { type: 'saveText'; name: string; content: string }
  | { type: 'openJobFolder'; id: string }
  /** What an evaluation found. */
  | { type: 'openReport'; id: string }
  | { type: 'quantize' }
  | { type: 'distill' }
  | { type: 'evaluate' };
