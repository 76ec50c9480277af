import type { CheckpointFileSummary, TensorRow } from '../../server/protocol/checkpoint-file.ts';
import type { FromFilePage, ToFilePage } from '../../server/protocol/checkpoint-file-page.ts';
import type { PanelConnection } from '../../server/protocol/panel.ts';
import type { StatisticsState } from './statistics-view.ts';

export interface FileState {
  connection: PanelConnection;
  connectionError?: string;
  summary?: CheckpointFileSummary;
  /** Why the file cannot be read. */
  failure?: string;
  chosen?: TensorRow;
  statistics: StatisticsState;
}

export const initialState: FileState = { connection: 'starting', statistics: { state: 'none' } };

/** The state after a message; rows of the list are the grid's own. */
export function reduce(state: FileState, message: ToFilePage): FileState {
  switch (message.type) {
    case 'connection': {
      const { connection, error } = message;
      const lost = connection !== 'connected' && state.statistics.state === 'reading';
      return {
        ...state,
        connection,
        connectionError: error,
        statistics: lost ? { state: 'none' } : state.statistics,
      };
    }
    case 'summary':
      return { ...state, summary: message.summary, failure: undefined };
    case 'failed':
      return { ...state, failure: message.message };
    case 'tensors':
      return state;
    case 'progress':
      return isRead(state, message.name)
        ? { ...state, statistics: { state: 'reading', progress: message.progress } }
        : state;
    case 'statistics':
      return isRead(state, message.statistics.name)
        ? { ...state, statistics: { state: 'read', statistics: message.statistics } }
        : state;
    case 'statisticsFailed':
      return isRead(state, message.name)
        ? { ...state, statistics: { state: 'failed', message: message.message } }
        : state;
  }
}

/** Whether the values of this tensor are waited for: another may have been chosen since. */
function isRead(state: FileState, name: string): boolean {
  return state.chosen?.name === name && state.statistics.state === 'reading';
}

export interface FileNotice {
  key: string;
  title: string;
  text?: string;
  tone?: 'plain' | 'error';
  busy?: boolean;
  buttons: { label: string; message: FromFilePage }[];
}

/** What stands in the place of the file while it is not there. */
export function fileNotice(state: FileState): FileNotice | undefined {
  switch (state.connection) {
    case 'starting':
      return {
        key: 'starting',
        title: 'Starting the server, which reads the file…',
        busy: true,
        buttons: [],
      };
    case 'stopped':
      return {
        key: 'stopped',
        title: 'The server is not running',
        text: 'It reads the file for this editor.',
        buttons: [{ label: 'Start Server', message: { type: 'startServer' } }],
      };
    case 'failed':
      return {
        key: 'failed',
        title: 'The server cannot be reached',
        text: state.connectionError,
        tone: 'error',
        buttons: [
          { label: 'Try Again', message: { type: 'startServer' } },
          { label: 'Show Log', message: { type: 'showLog' } },
        ],
      };
    case 'connected':
  }
  if (state.failure !== undefined) {
    return {
      key: 'unreadable',
      title: 'The file cannot be read',
      text: state.failure,
      tone: 'error',
      buttons: [
        { label: 'Read Again', message: { type: 'retry' } },
        { label: 'Show Log', message: { type: 'showLog' } },
      ],
    };
  }
  if (state.summary === undefined)
    return { key: 'reading', title: 'Reading the header…', busy: true, buttons: [] };
  return undefined;
}
