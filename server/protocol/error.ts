/** What went wrong, for programs. The message is for people: it names the file or field and says what to do. */
export type ErrorCode =
  | 'bad-request' // a message or argument that does not fit its schema
  | 'unauthorized'
  | 'not-allowed' // a path outside the folders that the user opened or chose
  | 'not-found' // a path, model or job that is not there
  | 'unreadable' // a path that exists and cannot be read
  | 'bad-file' // truncated, malformed or hostile file
  | 'unsupported' // architecture, dtype, shape or option that this version cannot handle
  | 'bad-value' // NaN, infinity, a dimension that is not divisible by 8 …
  | 'missing-tensor'
  | 'no-tokenizer'
  | 'no-space' // disk full
  | 'out-of-memory'
  | 'busy' // queue full, port or lock taken, job already running in that folder
  | 'no-model'
  | 'cancelled'
  | 'diverged' // NaN or infinite loss
  | 'native-missing' // asked for the native kernels by name, and they are not built
  | 'gpu-missing' // asked for a GPU, and there is none that can be used
  | 'gpu-lost' // the driver took the GPU away
  | 'disconnected' // the connection to the server ended before the answer
  | 'internal';

/** Every error that crosses a room's door. */
export class OneBitError extends Error {
  override readonly name = 'OneBitError';
  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

/** JSON-RPC error numbers: the standard ones where they fit, ours from -32001 down. */
export const rpcErrorNumber: Record<ErrorCode, number> = {
  'bad-request': -32602,
  internal: -32603,
  cancelled: -32800,
  unauthorized: -32001,
  'not-found': -32002,
  unreadable: -32003,
  'bad-file': -32004,
  unsupported: -32005,
  'bad-value': -32006,
  'missing-tensor': -32007,
  'no-tokenizer': -32008,
  'no-space': -32009,
  'out-of-memory': -32010,
  busy: -32011,
  'no-model': -32012,
  diverged: -32013,
  'native-missing': -32014,
  disconnected: -32015,
  'gpu-missing': -32016,
  'gpu-lost': -32017,
  'not-allowed': -32018,
};

/** Throws the `cancelled` error if the signal has fired; call it between steps of a long operation. */
export function throwIfCancelled(signal?: AbortSignal): void {
  if (signal?.aborted) throw new OneBitError('cancelled', 'Cancelled.');
}

/** The error as a OneBitError: itself, or wrapped; a full disk, a missing path and one that is not permitted get their own codes. */
export function asOneBitError(error: unknown, path?: string): OneBitError {
  if (error instanceof OneBitError) return error;
  const at = path === undefined ? '' : ` (${path})`;
  const errno = error instanceof Error && 'code' in error ? String(error.code) : '';
  const text = error instanceof Error ? error.message : String(error);
  if (error instanceof Error && error.name === 'AbortError') {
    return new OneBitError('cancelled', 'Cancelled.', { cause: error });
  }
  switch (errno) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new OneBitError('no-space', `No space left on the disk${at}: free some and run again.`, {
        cause: error,
      });
    case 'ENOENT':
    case 'ENOTDIR':
      return new OneBitError('not-found', `No such file or folder${at}: ${text}`, { cause: error });
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new OneBitError('unreadable', `Not permitted${at}: ${text}`, { cause: error });
    default:
      return new OneBitError('internal', `${text}${at}`, { cause: error });
  }
}
