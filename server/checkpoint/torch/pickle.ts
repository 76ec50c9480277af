import { OneBitError } from '../../protocol/error.ts';
import type { Dtype } from '../checkpoint.ts';

/** Numbers that lie in an archive's file `data/<key>`. */
export interface TorchStorage {
  dtype: Dtype;
  key: string;
}

/** A tensor as PyTorch describes it: a view into a storage. Offset and strides in elements. */
export interface TorchTensor {
  storage: TorchStorage;
  offset: number;
  shape: number[];
  strides: number[];
}

const dtypes: Readonly<Record<string, Dtype>> = {
  DoubleStorage: 'F64',
  FloatStorage: 'F32',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
};

/** Names that a pickle may use; all of them only say how a tensor lies in its storage. */
type Known = { kind: 'dict' | 'tensor' | 'parameter' } | { kind: 'storage'; dtype: Dtype };

class Mark {}
class Tuple {
  constructor(readonly items: Value[]) {}
}
class Storage {
  constructor(readonly value: TorchStorage) {}
}
class Tensor {
  constructor(readonly value: TorchTensor) {}
}
class Name {
  constructor(readonly known: Known) {}
}
type Value =
  null | boolean | number | string | Mark | Tuple | Storage | Tensor | Name | Value[] | Map<string, Value>;

/**
 * The tensors of a state dict that PyTorch pickled, by name. Nothing of the pickle is run: names that do not describe
 * tensors are refused, and so is every operation that could call something else.
 * @param bytes data.pkl of the archive (pickle protocol 2 to 5)
 * @param path for messages
 * @throws bad-file (no sound pickle), unsupported (a name or an operation of another kind)
 */
export function readTorchPickle(bytes: Uint8Array, path: string): Map<string, TorchTensor> {
  const value = new Unpickler(bytes, path).run();
  const found = tensorsOf(value) ?? tensorsOf(onlyDict(value));
  if (found === undefined) {
    throw new OneBitError(
      'unsupported',
      `${path} holds no state dict (a map from names to tensors): save model.state_dict().`,
    );
  }
  return found;
}

function tensorsOf(value: Value | undefined): Map<string, TorchTensor> | undefined {
  if (!(value instanceof Map)) return undefined;
  const tensors = [...value].flatMap(([name, item]): [string, TorchTensor][] =>
    item instanceof Tensor ? [[name, item.value]] : [],
  );
  return tensors.length === 0 ? undefined : new Map(tensors);
}

/** Some programs wrap the state dict: {"model": …}, {"state_dict": …}. */
function onlyDict(value: Value): Value | undefined {
  if (!(value instanceof Map)) return undefined;
  return value.get('state_dict') ?? value.get('model') ?? value.get('module');
}

class Unpickler {
  private readonly stack: Value[] = [];
  private readonly memo = new Map<number, Value>();
  private readonly view: DataView;
  private at = 0;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly path: string,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  run(): Value {
    for (;;) {
      const operation = this.byte();
      if (operation === 0x2e) return this.pop(); // STOP
      this.step(operation);
    }
  }

  private step(operation: number): void {
    const { stack, memo } = this;
    switch (operation) {
      case 0x80: // PROTO
        this.byte();
        return;
      case 0x95: // FRAME
        this.take(8);
        return;
      case 0x28: // MARK
        stack.push(new Mark());
        return;
      case 0x4e: // NONE
        stack.push(null);
        return;
      case 0x88: // NEWTRUE
      case 0x89: // NEWFALSE
        stack.push(operation === 0x88);
        return;
      case 0x4a: // BININT
        stack.push(this.view.getInt32(this.take(4), true));
        return;
      case 0x4b: // BININT1
        stack.push(this.byte());
        return;
      case 0x4d: // BININT2
        stack.push(this.view.getUint16(this.take(2), true));
        return;
      case 0x8a: // LONG1
        stack.push(this.long(this.byte()));
        return;
      case 0x47: // BINFLOAT
        stack.push(this.view.getFloat64(this.take(8)));
        return;
      case 0x58: // BINUNICODE
        stack.push(this.text(this.view.getUint32(this.take(4), true)));
        return;
      case 0x8c: // SHORT_BINUNICODE
        stack.push(this.text(this.byte()));
        return;
      case 0x8d: // BINUNICODE8
        stack.push(this.text(Number(this.view.getBigUint64(this.take(8), true))));
        return;
      case 0x7d: // EMPTY_DICT
        stack.push(new Map());
        return;
      case 0x5d: // EMPTY_LIST
        stack.push([]);
        return;
      case 0x29: // EMPTY_TUPLE
        stack.push(new Tuple([]));
        return;
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        stack.push(new Tuple(this.popMany(operation - 0x84)));
        return;
      case 0x74: // TUPLE
        stack.push(new Tuple(this.popToMark()));
        return;
      case 0x61: // APPEND
        this.append([this.pop()]);
        return;
      case 0x65: // APPENDS
        this.append(this.popToMark());
        return;
      case 0x73: // SETITEM
        this.setItems(this.popMany(2));
        return;
      case 0x75: // SETITEMS
        this.setItems(this.popToMark());
        return;
      case 0x71: // BINPUT
        memo.set(this.byte(), this.top());
        return;
      case 0x72: // LONG_BINPUT
        memo.set(this.view.getUint32(this.take(4), true), this.top());
        return;
      case 0x94: // MEMOIZE
        memo.set(memo.size, this.top());
        return;
      case 0x68: // BINGET
        stack.push(this.recall(this.byte()));
        return;
      case 0x6a: // LONG_BINGET
        stack.push(this.recall(this.view.getUint32(this.take(4), true)));
        return;
      case 0x63: // GLOBAL
        stack.push(this.name(this.line(), this.line()));
        return;
      case 0x93: {
        // STACK_GLOBAL
        const [module, name] = this.popMany(2);
        stack.push(this.name(String(module), String(name)));
        return;
      }
      case 0x51: // BINPERSID
        stack.push(this.storage(this.pop()));
        return;
      case 0x52: {
        // REDUCE
        const [callable, given] = this.popMany(2);
        stack.push(this.reduce(callable, given));
        return;
      }
      case 0x62: // BUILD: a state dict's own attributes (_metadata), which say nothing of the tensors
        this.pop();
        if (!(this.top() instanceof Map)) throw this.refused('the state of an object');
        return;
      case 0x30: // POP
        this.pop();
        return;
      default:
        throw this.refused(`the pickle operation 0x${operation.toString(16)}`);
    }
  }

  private name(module: string, name: string): Name {
    if (module === 'collections' && name === 'OrderedDict') return new Name({ kind: 'dict' });
    if (module === 'torch._utils' && name === '_rebuild_tensor_v2') return new Name({ kind: 'tensor' });
    if (module === 'torch._utils' && name === '_rebuild_parameter') return new Name({ kind: 'parameter' });
    const dtype = module === 'torch' && Object.hasOwn(dtypes, name) ? dtypes[name] : undefined;
    if (dtype !== undefined) return new Name({ kind: 'storage', dtype });
    throw this.refused(`the name ${`${module}.${name}`.slice(0, 120)}`);
  }

  private storage(id: Value): Storage {
    const [tag, type, key] = id instanceof Tuple ? id.items : [];
    if (
      tag !== 'storage' ||
      !(type instanceof Name) ||
      type.known.kind !== 'storage' ||
      typeof key !== 'string'
    ) {
      throw this.malformed('a storage is described in an unknown way');
    }
    return new Storage({ dtype: type.known.dtype, key });
  }

  private reduce(callable: Value | undefined, given: Value | undefined): Value {
    if (!(callable instanceof Name) || !(given instanceof Tuple))
      throw this.malformed('a call of what is no name');
    switch (callable.known.kind) {
      case 'dict':
        return new Map();
      case 'parameter': {
        const [data] = given.items;
        if (!(data instanceof Tensor)) throw this.malformed('a parameter without a tensor');
        return data;
      }
      case 'tensor': {
        const [storage, offset, shape, strides] = given.items;
        if (!(storage instanceof Storage)) throw this.malformed('a tensor without a storage');
        return new Tensor({
          storage: storage.value,
          offset: this.size(offset),
          shape: this.sizes(shape),
          strides: this.sizes(strides),
        });
      }
      case 'storage':
        throw this.refused('the call of a storage type');
    }
  }

  private sizes(value: Value | undefined): number[] {
    const items = value instanceof Tuple ? value.items : value instanceof Array ? value : undefined;
    if (items === undefined || items.length > 8) throw this.malformed('a shape is no list of sizes');
    return items.map((item) => this.size(item));
  }

  private size(value: Value | undefined): number {
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
      throw this.malformed('a size is none');
    return value;
  }

  private append(items: Value[]): void {
    const list = this.top();
    if (!(list instanceof Array)) throw this.malformed('an item is added to what is no list');
    for (const item of items) list.push(item);
  }

  private setItems(items: Value[]): void {
    const map = this.top();
    if (!(map instanceof Map) || items.length % 2 !== 0)
      throw this.malformed('an item is set in what is no dict');
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i];
      // Keys of other kinds name no tensors (an optimizer's parameter numbers).
      if (typeof key === 'string') map.set(key, items[i + 1] ?? null);
    }
  }

  private recall(index: number): Value {
    const value = this.memo.get(index);
    if (value === undefined) throw this.malformed(`there is no memo ${index}`);
    return value;
  }

  private popToMark(): Value[] {
    const { stack } = this;
    let start = stack.length - 1;
    while (start >= 0 && !(stack[start] instanceof Mark)) start--;
    if (start < 0) throw this.malformed('a mark is missing');
    const items = stack.splice(start);
    items.shift();
    return items;
  }

  private popMany(count: number): Value[] {
    if (this.stack.length < count) throw this.malformed('its stack is empty');
    return this.stack.splice(this.stack.length - count);
  }

  private pop(): Value {
    return this.popMany(1)[0] ?? null;
  }

  private top(): Value {
    if (this.stack.length === 0) throw this.malformed('its stack is empty');
    return this.stack[this.stack.length - 1] ?? null;
  }

  private byte(): number {
    return this.bytes[this.take(1)] ?? 0;
  }

  /** Goes on by so many bytes, and says where they begin. */
  private take(count: number): number {
    if (!(count <= this.bytes.byteLength - this.at)) throw this.malformed('it ends too early');
    const start = this.at;
    this.at += count;
    return start;
  }

  private text(length: number): string {
    const start = this.take(length);
    return new TextDecoder().decode(this.bytes.subarray(start, start + length));
  }

  private line(): string {
    const end = this.bytes.indexOf(0x0a, this.at);
    if (end < 0) throw this.malformed('a name does not end');
    const text = this.text(end - this.at);
    this.take(1);
    return text;
  }

  private long(length: number): number {
    if (length > 8) throw this.malformed('a number is too large');
    const start = this.take(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.bytes[start + i] ?? 0);
    return Number(BigInt.asIntN(8 * Math.max(1, length), value));
  }

  private malformed(what: string): OneBitError {
    return new OneBitError(
      'bad-file',
      `${this.path}: data.pkl is damaged: ${what}. Copy or download the file again.`,
    );
  }

  private refused(what: string): OneBitError {
    return new OneBitError(
      'unsupported',
      `${this.path} uses ${what}, which does not describe tensors and is not run: save the model's state_dict, or convert it to safetensors.`,
    );
  }
}
