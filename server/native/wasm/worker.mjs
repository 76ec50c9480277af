// A thread of the engine in WebAssembly (server/engine/cpu/wasm-model.ts makes it). The first loads the model and runs
// its passes, one message after the other; the others wait inside of the module for their part of a pass.
import { closeSync, openSync, readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';

/** @type {{ module: WebAssembly.Module, memory: WebAssembly.Memory, stack?: number }} */
const { module, memory, stack } = workerData;

/** Where load_matrix reads: a range of an open file, or bytes. */
let source = { file: -1, offset: 0, bytes: new Uint8Array() };

const view = (pointer, bytes) => new Uint8Array(memory.buffer, pointer >>> 0, bytes);

function readTensor(start, size, target) {
  if (source.file < 0) {
    view(target, size).set(source.bytes.subarray(start, start + size));
    return 1;
  }
  let done = 0;
  while (done < size) {
    const read = readSync(source.file, view(target, size), done, size - done, source.offset + start + done);
    if (read === 0) return 0;
    done += read;
  }
  return 1;
}

const nobody = new Int32Array(new SharedArrayBuffer(4));
// Not memory.atomic.wait32: with Node 20, loops around one with a time-out were seen never to end.
const shortSleep = () => void Atomics.wait(nobody, 0, 0, 0.02);
const sleepWhile = (word, seen) => void Atomics.wait(new Int32Array(memory.buffer), word >>> 2, seen);

// Messages of an aborting C library go nowhere.
const refuse = () => 52;
const instance = new WebAssembly.Instance(module, {
  env: { memory },
  onebit: { read_tensor: readTensor, short_sleep: shortSleep, sleep_while: sleepWhile },
  wasi_snapshot_preview1: { fd_close: refuse, fd_seek: refuse, fd_write: refuse },
});
const { exports } = instance;

const slots = ['embedding', 'head', 'weights', 'signs'];
const dtypes = ['F32', 'F16', 'BF16', 'U8'];
const vectors = ['g', 'h', 'bias', 'inputNorm', 'postNorm', 'norm'];
const outcomes = ['ok', 'unreadable', 'not-finite'];

/** What a message may ask for, by name. */
const calls = {
  create: (...shape) => exports.create(...shape),
  loadMatrix(slot, layer, projection, out, inSize, dtype, from, offset, byteLength) {
    source = { file: -1, offset, bytes: from };
    try {
      if (typeof from === 'string') source.file = openSync(from, 'r');
      const shape = [layer, projection, out, inSize];
      return outcomes[exports.load_matrix(slots.indexOf(slot), ...shape, dtypes.indexOf(dtype), byteLength)];
    } catch (error) {
      if (error instanceof WebAssembly.RuntimeError) throw error;
      return 'unreadable';
    } finally {
      if (source.file >= 0) closeSync(source.file);
      source = { file: -1, offset: 0, bytes: new Uint8Array() };
    }
  },
  setVector(name, layer, projection, values) {
    const pointer = exports.allocate(values.byteLength);
    new Float32Array(memory.buffer, pointer >>> 0, values.length).set(values);
    exports.set_vector(vectors.indexOf(name), layer, projection, pointer, values.length);
    exports.release(pointer);
  },
  roundHead: () => exports.round_head(),
  /** The stacks of the other threads, and where the block's rows, answers and the flag of `cancel` lie. */
  prepare(threads, stackBytes) {
    const stacks = Array.from({ length: threads - 1 }, () => exports.allocate(stackBytes) >>> 0);
    exports.prepare(threads);
    return {
      stacks,
      bytes: [...new Float64Array(memory.buffer, exports.bytes() >>> 0, 8)],
      rows: exports.block_rows() >>> 0,
      topIds: exports.top_ids() >>> 0,
      topValues: exports.top_values() >>> 0,
      cancelFlag: exports.cancel_flag() >>> 0,
    };
  },
  openCache: (id) => exports.open_cache(id),
  closeCache: (id) => exports.close_cache(id),
  copyCache: (...range) => exports.copy_cache(...range),
  forward(rows, wanted) {
    const isDone = exports.forward(rows, wanted) === 1;
    return { outcome: isDone ? 'ok' : 'cancelled', logits: exports.logits() >>> 0 };
  },
};

if (stack === undefined) {
  exports._initialize();
  parentPort.on('message', ({ id, call, args }) => {
    try {
      parentPort.postMessage({ id, value: calls[call](...args) });
    } catch (error) {
      // A trap is memory that is not there; the module has no other reason for one.
      const isTrap = error instanceof WebAssembly.RuntimeError;
      parentPort.postMessage({ id, error: isTrap ? 'out-of-memory' : String(error) });
    }
  });
} else {
  exports.__stack_pointer.value = stack | 0;
  exports.work();
}
