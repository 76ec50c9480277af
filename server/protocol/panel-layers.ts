import type { ErrorCode } from './error.ts';
import type { Requests } from './methods.ts';
import type { Progress } from './progress.ts';

/** What the Layers tab asks the server; the extension passes question and answer on as they are. */
export const layersMethods = [
  'inspect/layers',
  'inspect/matrix',
  'inspect/tile',
  'inspect/checkpoints',
  'inspect/activations',
] as const satisfies (keyof Requests)[];
export type LayersMethod = (typeof layersMethods)[number];

/** A question; `ask` numbers it, from 1 up in the life of a page. */
export type LayersAsk = {
  [M in LayersMethod]: { type: 'ask'; ask: number; method: M; params: Requests[M]['params'] };
}[LayersMethod];

/** Webview → extension. */
export type FromLayers = LayersAsk | { type: 'cancelAsk'; ask: number };

/** Extension → webview. */
export type ToLayers =
  /** How far one is whose `params` have an id. */
  | { type: 'askProgress'; ask: number; progress: Progress }
  | { type: 'answer'; ask: number; result: Requests[LayersMethod]['result'] }
  | { type: 'answerError'; ask: number; code: ErrorCode; message: string };
