import type { InspectLayersResult } from './inspect.ts';
import type { Job, Metric } from './job.ts';
import type { ServerMemory } from './methods.ts';
import type { ModelSummary } from './model.ts';

/** Everything the panel shows. The extension posts a fresh snapshot whenever the panel becomes visible. */
export interface PanelSnapshot {
  connection: 'starting' | 'connected' | 'stopped' | 'failed';
  /** Why, when failed. */
  connectionError?: string;
  memory?: ServerMemory;
  models: ModelSummary[];
  jobs: Job[];
  /** By job id. */
  metrics: Record<string, Metric[]>;
  layers?: InspectLayersResult;
  layersError?: string;
}

/** Extension → webview. */
export type ToPanel =
  | { type: 'snapshot'; snapshot: PanelSnapshot }
  | { type: 'connection'; connection: PanelSnapshot['connection']; error?: string }
  | { type: 'memory'; memory: ServerMemory }
  | { type: 'models'; models: ModelSummary[] }
  | { type: 'job'; job: Job; metrics: Metric[] }
  | { type: 'layers'; layers: InspectLayersResult }
  | { type: 'layersError'; message: string };

/** Webview → extension. */
export type FromPanel =
  | { type: 'ready' }
  | { type: 'startServer' }
  | { type: 'chooseModel' }
  | { type: 'unloadModel' }
  | { type: 'loadModel'; model: string }
  | { type: 'inspect'; model: string; teacher?: string }
  | { type: 'chooseTeacher' }
  | { type: 'cancelJob'; id: string }
  | { type: 'openJobFolder'; id: string }
  | { type: 'quantize' }
  | { type: 'distill' };
