import type { FromFilePage, TensorQuery } from '../../server/protocol/checkpoint-file-page.ts';

/** What the page keeps while it is hidden and after a reload of the window. */
export interface KeptChoices {
  query?: TensorQuery;
  /** The first row in view. */
  row?: number;
}

/** The window around the page: messages out, choices kept. */
export interface FileHost {
  post(message: FromFilePage): void;
  readonly choices: KeptChoices;
  keep(change: KeptChoices): void;
}

interface VsCodeApi {
  postMessage(message: FromFilePage): void;
  getState(): unknown;
  setState(state: KeptChoices): void;
}

declare function acquireVsCodeApi(): VsCodeApi;

/** May be called once in the life of a page. */
export function connectFileHost(): FileHost {
  const api = acquireVsCodeApi();
  const kept = api.getState();
  let choices: KeptChoices = typeof kept === 'object' && kept !== null ? kept : {};
  return {
    post: (message) => api.postMessage(message),
    get choices() {
      return choices;
    },
    keep: (change) => {
      choices = { ...choices, ...change };
      api.setState(choices);
    },
  };
}
