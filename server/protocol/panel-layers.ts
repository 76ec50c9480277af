import type { ErrorCode } from './error.ts';
import type { Requests } from './methods.ts';

/** What the Layers tab asks the server; the extension passes question and answer on as they are. */
export const layersMethods = ['inspect/matrix', 'inspect/tile'] as const satisfies (keyof Requests)[];
export type LayersMethod = (typeof layersMethods)[number];

/** A question; `ask` numbers it, from 1 up in the life of a page. */
export type LayersAsk = {
  [M in LayersMethod]: { type: 'ask'; ask: number; method: M; params: Requests[M]['params'] };
}[LayersMethod];

/** Webview → extension. */
export type FromLayers = LayersAsk | { type: 'cancelAsk'; ask: number };

/** Extension → webview. */
export type ToLayers =
  | { type: 'answer'; ask: number; result: Requests[LayersMethod]['result'] }
  | { type: 'answerError'; ask: number; code: ErrorCode; message: string };
