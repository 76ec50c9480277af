import type { MemoryPlanParams } from '../../server/protocol/memory.ts';
import type { FromPanel } from '../../server/protocol/panel.ts';
import type { TabId } from './tabs.ts';

export interface Sort {
  column: string;
  descending: boolean;
}

/** What the panel keeps of the user's choices while it is hidden and after a reload of the window. */
export interface UiState {
  /** The view that is shown. */
  tab?: TabId;
  /** Job whose curve is shown. */
  job?: string;
  /** Names of curves switched off. */
  hiddenCurves?: string[];
  logarithmic?: boolean;
  /** Weight of the moving average of curves, 0 … 0.99. */
  smoothing?: number;
  /** Runs drawn beside the chosen one. */
  overlay?: string[];
  sort?: Sort;
  projection?: string;
  /** What the map of the layers is coloured by. */
  mapMetric?: string;
  /** Whether distributions of g and h are drawn over the logarithm of their sizes. */
  logValues?: boolean;
  /** Model whose layers were asked for, and the teacher they were compared with. */
  inspect?: { model: string; teacher?: string };
  /** A checkpoint of the run in the place of this model, and what it is compared with. */
  compare?: { model: string; at?: string; other?: string };
  /** Whether changes against the other checkpoint are shown rather than values. */
  differences?: boolean;
  /** Whether the picture of a matrix shows where its signs differ from the other checkpoint's. */
  differingSigns?: boolean;
  /** The text that is run through the model for its activations. */
  activationsText?: string;
  /** The footprint's plan: whether it is open, and what it is asked for. */
  plan?: { open?: boolean } & MemoryPlanParams;
  /** Matrix whose own view is open. */
  matrix?: string;
  /** How far down the page was, by tab. */
  scroll?: Partial<Record<TabId, number>>;
}

/** The window around the panel: messages out, state kept. */
export interface Host {
  post(message: FromPanel): void;
  readonly ui: UiState;
  /** Merges into the state that is kept. */
  keep(change: UiState): void;
}

interface VsCodeApi {
  postMessage(message: FromPanel): void;
  getState(): unknown;
  setState(state: UiState): void;
}

declare function acquireVsCodeApi(): VsCodeApi;

/** May be called once in the life of a webview. */
export function connectHost(): Host {
  const api = acquireVsCodeApi();
  const kept = api.getState();
  let ui: UiState = typeof kept === 'object' && kept !== null ? kept : {};
  return {
    post: (message) => api.postMessage(message),
    get ui() {
      return ui;
    },
    keep: (change) => {
      ui = { ...ui, ...change };
      api.setState(ui);
    },
  };
}
