import type {
  CheckpointFileSummary,
  CheckpointTensors,
  TensorColumn,
  TensorStatistics,
} from './checkpoint-file.ts';
import type { PanelConnection } from './panel.ts';
import type { Progress } from './progress.ts';

/** How the list of tensors is searched and sorted. */
export interface TensorQuery {
  search: string;
  sort: TensorColumn;
  descending: boolean;
}

/** Extension → the editor's page. */
export type ToFilePage =
  | { type: 'connection'; connection: PanelConnection; error?: string }
  | { type: 'summary'; summary: CheckpointFileSummary }
  | { type: 'failed'; message: string }
  | { type: 'tensors'; query: TensorQuery; tensors: CheckpointTensors }
  | { type: 'progress'; name: string; progress: Progress }
  | { type: 'statistics'; statistics: TensorStatistics }
  | { type: 'statisticsFailed'; name: string; message: string };

/** The editor's page → extension. */
export type FromFilePage =
  | { type: 'ready' }
  /** Reads the file again. */
  | { type: 'retry' }
  | { type: 'startServer' }
  | { type: 'showLog' }
  | { type: 'tensors'; query: TensorQuery; from: number; count: number }
  | { type: 'statistics'; name: string }
  | { type: 'cancelStatistics' }
  | { type: 'quantize' }
  | { type: 'inspect' };
