import { writeFileSync } from 'node:fs';

/** A tensor to pickle: F32 numbers of a storage of its own, or of another tensor's (tied weights). */
export interface TorchTensorValues {
  name: string;
  shape: number[];
  values: Float32Array;
  /** Key of the storage; the tensor's index if absent. */
  storage?: string;
  strides?: number[];
}

/** crc32 is not checked by PyTorch's readers of whole files, nor by ours. */
const crc = 0;

/**
 * A state dict as `torch.save` writes it (PyTorch 1.6 and later): a ZIP archive of stored files, data.pkl in pickle
 * protocol 2, numbers aligned to 64 bytes. Shares no code with server/.
 */
export function writeTorch(
  path: string,
  tensors: readonly TorchTensorValues[],
  pickle = statePickle(tensors),
): void {
  const files: [string, Buffer][] = [
    ['archive/data.pkl', pickle],
    ['archive/byteorder', Buffer.from('little')],
  ];
  tensors.forEach(({ values, storage }, i) => {
    if (storage !== undefined && storage !== String(i)) return;
    files.push([`archive/data/${i}`, Buffer.from(values.buffer, values.byteOffset, values.byteLength)]);
  });
  files.push(['archive/version', Buffer.from('3\n')]);
  writeFileSync(path, zip(files));
}

/** The pickle of an OrderedDict of tensors. */
export function statePickle(tensors: readonly TorchTensorValues[]): Buffer {
  const parts: Buffer[] = [
    Buffer.from([0x80, 2]),
    global('collections', 'OrderedDict'),
    Buffer.from(')Rq\x00(', 'latin1'),
  ];
  tensors.forEach(({ name, shape, storage, strides, values }, i) => {
    const contiguous = shape.map((_, at) => shape.slice(at + 1).reduce((a, b) => a * b, 1));
    parts.push(
      unicode(name),
      global('torch._utils', '_rebuild_tensor_v2'),
      Buffer.from('(('),
      unicode('storage'),
      global('torch', 'FloatStorage'),
      unicode(storage ?? String(i)),
      unicode('cpu'),
      int(values.length),
      Buffer.from('tQ'),
      int(0),
      Buffer.from('('),
      ...shape.map(int),
      Buffer.from('t('),
      ...(strides ?? contiguous).map(int),
      Buffer.from([0x74, 0x89]), // TUPLE, NEWFALSE
      global('collections', 'OrderedDict'),
      Buffer.from(')RtR'),
    );
  });
  parts.push(Buffer.from('u.'));
  return Buffer.concat(parts);
}

export const global = (module: string, name: string) => Buffer.from(`c${module}\n${name}\n`);
function unicode(value: string): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length);
  return Buffer.concat([Buffer.from('X'), length, bytes]);
}
function int(value: number): Buffer {
  const bytes = Buffer.alloc(5);
  bytes.write('J');
  bytes.writeInt32LE(value, 1);
  return bytes;
}

function zip(files: readonly [string, Buffer][]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const [name, bytes] of files) {
    // An extra field fills up to the next multiple of 64.
    const extra = Buffer.alloc(((64 - ((at + 30 + name.length + 4) % 64)) % 64) + 4);
    extra.write('FB');
    extra.writeUInt16LE(extra.length - 4, 2);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50);
    local.writeUInt32LE(crc, 14);
    local.writeUInt32LE(bytes.length, 18);
    local.writeUInt32LE(bytes.length, 22);
    local.writeUInt16LE(name.length, 26);
    local.writeUInt16LE(extra.length, 28);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50);
    entry.writeUInt32LE(bytes.length, 20);
    entry.writeUInt32LE(bytes.length, 24);
    entry.writeUInt16LE(name.length, 28);
    entry.writeUInt32LE(at, 42);
    directory.push(entry, Buffer.from(name));
    parts.push(local, Buffer.from(name), extra, bytes);
    at += 30 + name.length + extra.length + bytes.length;
  }
  const list = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50);
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(list.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, list, end]);
}
