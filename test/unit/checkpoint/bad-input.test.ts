import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../../server/checkpoint/open-checkpoint.ts';
import { OneBitError, type ErrorCode } from '../../../server/protocol/error.ts';
import {
  safetensorsFile,
  writeRandomCheckpoint,
  type RandomCheckpointOptions,
} from '../../reference/random-checkpoint.ts';

const folder = mkdtempSync(join(tmpdir(), 'onebit-bad-'));
afterAll(() => rmSync(folder, { recursive: true }));

let count = 0;
const small = { hiddenSize: 16, intermediateSize: 16, layers: 1, heads: 2, vocabSize: 8, maxPositions: 8 };
function good(options: Partial<RandomCheckpointOptions> = {}): string {
  return writeRandomCheckpoint(join(folder, String(count++)), { layout: 'full', ...small, ...options }).path;
}

/** Expects the error, with its file (and tensor or field) in the message, and a whole sentence. */
async function expectError(path: string, code: ErrorCode, ...words: string[]): Promise<void> {
  const error: unknown = await openCheckpoint(path).then(
    async (checkpoint) => {
      await checkpoint.close();
      return undefined;
    },
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(OneBitError);
  const { code: actual, message } = error as OneBitError;
  expect(message).toMatch(new RegExp(`^.{20,700}$`));
  for (const word of words) expect(message).toContain(word);
  expect(actual, message).toBe(code);
}

/** A model.safetensors of this header text and data in an otherwise good folder. */
function withHeader(header: string | Buffer, data = Buffer.alloc(0), claimed?: bigint): string {
  const path = good();
  const json = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(claimed ?? BigInt(json.length));
  writeFileSync(join(path, 'model.safetensors'), Buffer.concat([length, json, data]));
  return path;
}

const entry = (begin: unknown, end: unknown, shape: unknown = [4], dtype: unknown = 'U8') =>
  JSON.stringify({ dtype, shape, data_offsets: [begin, end] });

describe('a damaged or hostile safetensors file', () => {
  it.each<[string, () => string, ErrorCode, string]>([
    ['is empty', () => withTruncated(0), 'bad-file', 'too few for a header'],
    ['ends in the header length', () => withTruncated(5), 'bad-file', 'too few for a header'],
    ['ends in the header', () => withTruncated(100), 'bad-file', 'cut short'],
    ['ends in the data', () => withTruncated(-1), 'bad-file', 'cut short'],
    ['has bytes after the data', withTail, 'bad-file', '3 bytes at the end'],
    ['claims a header of 2^63 bytes', () => withHeader('{}', undefined, 2n ** 63n), 'bad-file', '100000000'],
    ['claims a header over 100 MB', () => withHeader('{}', undefined, 100_000_001n), 'bad-file', '100000001'],
    ['has a header that is not JSON', () => withHeader('{"a": '), 'bad-file', 'not valid JSON'],
    ['has a header that is not UTF-8', () => withHeader(Buffer.from([0x7b, 0xff])), 'bad-file', 'not valid'],
    ['has a header that is a list', () => withHeader('[]'), 'bad-file', 'not a JSON object'],
    ['has no tensors', () => withHeader('{}'), 'missing-tensor', 'q_proj.weight is missing'],
    [
      'names a tensor twice',
      () => withHeader(`{"a":${entry(0, 4)},"\\u0061":${entry(0, 4)}}`, Buffer.alloc(4)),
      'bad-file',
      '"a" twice',
    ],
    [
      'gives a field twice',
      () => withHeader(`{"a":${entry(0, 4).replace('}', ',"dtype":"I8"}')}}`, Buffer.alloc(4)),
      'bad-file',
      '"dtype" twice',
    ],
    [
      'has metadata that is no map of texts',
      () => withHeader('{"__metadata__":{"a":{}}}'),
      'bad-file',
      '__meta',
    ],
    ['has metadata that is a text', () => withHeader('{"__metadata__":"x"}'), 'bad-file', '__metadata__'],
    [
      'has a tensor called __proto__',
      () => withHeader(`{"__proto__":${entry(0, 4)}}`, Buffer.alloc(4)),
      'missing-tensor',
      'missing',
    ],
    ['has a tensor without description', () => withHeader('{"a":null}'), 'bad-file', 'tensor a'],
    ['has a tensor without dtype', () => withHeader(`{"a":${entry(0, 4, [4], 7)}}`), 'bad-file', 'tensor a'],
    ['has an unknown dtype', () => withHeader(`{"a":${entry(0, 4, [4], 'F7')}}`), 'unsupported', 'F7'],
    ['calls a dtype toString', () => withHeader(`{"a":${entry(0, 4, [4], 'toString')}}`), 'unsupported', 'a'],
    ['has a negative size', () => withHeader(`{"a":${entry(0, 4, [-4])}}`), 'bad-file', '[-4]'],
    ['has half a size', () => withHeader(`{"a":${entry(0, 4, [0.5])}}`), 'bad-file', '[0.5]'],
    ['has a shape that is no list', () => withHeader(`{"a":${entry(0, 4, 'x')}}`), 'bad-file', 'shape'],
    [
      'has a shape of 2^106 elements',
      () => withHeader(`{"a":${entry(0, 4, [2 ** 53 - 1, 2 ** 53 - 1])}}`, Buffer.alloc(4)),
      'bad-file',
      'do not fit',
    ],
    [
      'has a shape that would wrap around 2^64',
      () => withHeader(`{"a":${entry(0, 4, [2 ** 32, 2 ** 32, 4])}}`, Buffer.alloc(4)),
      'bad-file',
      'do not fit',
    ],
    [
      'has too few bytes for a shape',
      () => withHeader(`{"a":${entry(0, 3)}}`, Buffer.alloc(3)),
      'bad-file',
      '3 bytes',
    ],
    ['has an offset below zero', () => withHeader(`{"a":${entry(-4, 0)}}`), 'bad-file', 'data_offsets'],
    ['has an offset of half a byte', () => withHeader(`{"a":${entry(0, 3.5)}}`), 'bad-file', 'data_offsets'],
    [
      'has one offset',
      () => withHeader(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0]}}`),
      'bad-file',
      '[0]',
    ],
    [
      'ends before it begins',
      () => withHeader(`{"a":${entry(4, 0)}}`, Buffer.alloc(4)),
      'bad-file',
      'before it',
    ],
    [
      'runs past the end',
      () => withHeader(`{"a":${entry(2, 6)}}`, Buffer.alloc(4)),
      'bad-file',
      'tensor a ends',
    ],
    [
      'lets tensors overlap',
      () => withHeader(`{"a":${entry(0, 4)},"b":${entry(2, 6)}}`, Buffer.alloc(6)),
      'bad-file',
      'tensor b overlaps',
    ],
    [
      'leaves a hole',
      () => withHeader(`{"a":${entry(0, 4)},"b":${entry(6, 10)}}`, Buffer.alloc(10)),
      'bad-file',
      '2 bytes before tensor b',
    ],
  ])('%s', async (_, make, code, words) => {
    const path = make();
    await expectError(path, code, path, words);
  });

  function withTruncated(bytes: number): string {
    const path = good();
    const file = join(path, 'model.safetensors');
    truncateSync(file, bytes < 0 ? readFileSync(file).length + bytes : bytes);
    return path;
  }
  function withTail(): string {
    const path = good();
    const file = join(path, 'model.safetensors');
    writeFileSync(file, Buffer.concat([readFileSync(file), Buffer.alloc(3)]));
    return path;
  }
});

describe('a checkpoint that does not fit its config.json', () => {
  const wrong = (config: Record<string, unknown>, options: Partial<RandomCheckpointOptions> = {}) =>
    good({ ...options, config });

  it.each<[string, () => string, ErrorCode, string]>([
    ['another architecture', () => wrong({ model_type: 'mamba' }), 'unsupported', '"mamba"'],
    [
      'no model_type',
      () => wrong({ model_type: undefined, architectures: undefined }),
      'unsupported',
      'model_type',
    ],
    ['RoPE scaling', () => wrong({ rope_scaling: { type: 'linear', factor: 2 } }), 'unsupported', '"linear"'],
    [
      'RoPE scaling in rope_parameters',
      () => wrong({ rope_parameters: { rope_type: 'llama3', rope_theta: 5e5 } }),
      'unsupported',
      '"llama3"',
    ],
    ['another activation', () => wrong({ hidden_act: 'gelu' }), 'unsupported', '"gelu"'],
    ['a sliding window', () => wrong({ sliding_window: 4096 }), 'unsupported', 'sliding_window'],
    [
      'another quantization',
      () => wrong({ quantization_config: { quant_method: 'gptq' } }),
      'unsupported',
      'gptq',
    ],
    [
      'a later OneBit format',
      () => wrong({ quantization_config: { quant_method: 'onebit', version: 2 } }),
      'unsupported',
      'version is 2',
    ],
    ['zero layers', () => wrong({ num_hidden_layers: 0 }), 'bad-value', 'num_hidden_layers'],
    ['1e12 layers', () => wrong({ num_hidden_layers: 1e12 }), 'bad-value', 'num_hidden_layers'],
    ['half a layer', () => wrong({ num_hidden_layers: 0.5 }), 'bad-value', 'num_hidden_layers'],
    ['no hidden_size', () => wrong({ hidden_size: undefined }), 'bad-value', 'hidden_size'],
    ['a text as hidden_size', () => wrong({ hidden_size: '16' }), 'bad-value', 'hidden_size'],
    ['NaN (which JSON writes as null)', () => wrong({ vocab_size: NaN }), 'bad-value', 'vocab_size'],
    ['a negative eps', () => wrong({ rms_norm_eps: -1 }), 'bad-value', 'rms_norm_eps'],
    ['heads that do not divide', () => wrong({ num_attention_heads: 3 }), 'bad-value', 'num_attention_heads'],
    [
      'KV heads that do not divide',
      () => wrong({ num_key_value_heads: 3 }),
      'bad-value',
      'num_key_value_heads',
    ],
    ['an odd head_dim', () => wrong({ head_dim: 7 }), 'bad-value', 'head_dim'],
    ['an EOS beyond the vocabulary', () => wrong({ eos_token_id: 8 }), 'bad-value', 'eos_token_id'],
    [
      'a wrong width',
      () => wrong({ intermediate_size: 24 }),
      'bad-file',
      'gate_proj.weight has the shape [16, 16]',
    ],
    [
      'a wrong vocabulary',
      () => wrong({ vocab_size: 9 }),
      'bad-file',
      'embed_tokens.weight has the shape [8, 16]',
    ],
    ['more layers than there are', () => wrong({ num_hidden_layers: 2 }), 'missing-tensor', 'layers.1.'],
    [
      'fewer layers than there are',
      () => wrong({ num_hidden_layers: 1 }, { layers: 2 }),
      'unsupported',
      'layers.1.',
    ],
    [
      'a head that is missing',
      () => wrong({ tie_word_embeddings: false }, { tied: true }),
      'missing-tensor',
      'lm_head',
    ],
    ['biases that are missing', () => wrong({ attention_bias: true }), 'missing-tensor', 'q_proj.bias'],
    [
      'biases that it denies',
      () => wrong({ attention_bias: false }, { attentionBias: true }),
      'bad-file',
      'attention_bias',
    ],
  ])('%s', async (_, make, code, words) => {
    const path = make();
    await expectError(path, code, path, words);
  });

  it.each<[string, ErrorCode]>([
    ['', 'bad-file'],
    ['{', 'bad-file'],
    ['[]', 'unsupported'],
    ['"x"', 'bad-value'],
    ['null', 'bad-value'],
  ])('a config.json that is %j', async (text, code) => {
    const path = good();
    writeFileSync(join(path, 'config.json'), text);
    await expectError(path, code, join(path, 'config.json'));
  });
});

describe('tensors that make no model of one kind', () => {
  const up = 'model.layers.0.mlp.up_proj';
  it.each<[string, RandomCheckpointOptions['layout'], (tensors: Stored) => Stored, ErrorCode, string]>([
    ['a weight is missing', 'full', without(`${up}.weight`), 'missing-tensor', `${up}.weight`],
    ['a norm is missing', 'full', without('model.norm.weight'), 'missing-tensor', 'model.norm.weight'],
    ['both embeddings are missing', 'full', without('model.embed_tokens.weight'), 'missing-tensor', 'embed'],
    ['h is missing', 'onebit', without(`${up}.weight_scale`), 'missing-tensor', `${up}.weight_scale`],
    [
      'g is missing',
      'bitllama-training',
      without(`${up}.input_factor`),
      'missing-tensor',
      `${up}.input_factor`,
    ],
    ['an integer norm', 'full', as('model.norm.weight', { dtype: 'I32', bytes: 4 }), 'bad-file', 'dtype I32'],
    ['signs as I16', 'onebit', as(`${up}.weight`, { dtype: 'I16', bytes: 2 }), 'bad-file', 'dtype I16'],
    ['one packed layer', 'full', as(`${up}.weight`, { dtype: 'U8', bytes: 1 }), 'bad-file', 'one kind'],
    [
      'g and h of one layer',
      'bitllama-training',
      without(`${up}.weight_scale`, `${up}.input_factor`),
      'bad-file',
      'one kind',
    ],
    ['signs unpacked', 'onebit', as(`${up}.weight`, { shape: [16, 16], bytes: 1 }), 'bad-file', '[16, 16]'],
    [
      'h of another length',
      'onebit',
      as(`${up}.weight_scale`, { shape: [15], bytes: 2 }),
      'bad-file',
      '[15]',
    ],
    ['a bias of the head', 'full', more('lm_head.bias', [8]), 'unsupported', 'lm_head.bias'],
    ['norms of q', 'full', more('model.layers.0.self_attn.q_norm.weight', [8]), 'unsupported', 'q_norm'],
  ])('%s', async (_, layout, change, code, words) => {
    const path = good({ layout });
    const file = join(path, 'model.safetensors');
    writeFileSync(file, safetensorsFile(change(readStored(file))));
    await expectError(path, code, path, words);
  });

  it('takes the RoPE frequencies of old checkpoints, which follow from the config', async () => {
    const path = good();
    const file = join(path, 'model.safetensors');
    const inv = more('model.layers.0.self_attn.rotary_emb.inv_freq', [4]);
    writeFileSync(file, safetensorsFile(inv(readStored(file))));
    await (await openCheckpoint(path)).close();
  });

  it('inputs that 8 does not divide', async () => {
    const path = good({ layout: 'bitllama-training', hiddenSize: 12, headDim: 6 });
    const file = join(path, 'model.safetensors');
    const change = (tensors: Stored) =>
      tensors.map((tensor) =>
        tensor.name.endsWith('_proj.weight')
          ? {
              ...tensor,
              dtype: 'U8',
              shape: [tensor.shape[0] as number, 1],
              bytes: Buffer.alloc(tensor.shape[0] as number),
            }
          : tensor,
      );
    writeFileSync(file, safetensorsFile(change(readStored(file))));
    await expectError(path, 'bad-value', path, 'model.layers.0.self_attn.q_proj has 12 inputs');
  });
});

describe('an index of shards', () => {
  const shards = () => good({ shards: 2 });
  const index = 'model.safetensors.index.json';
  it.each<[string, (path: string) => void, ErrorCode, string]>([
    ['is not JSON', (path) => writeFileSync(join(path, index), '{'), 'bad-file', index],
    ['has no weight_map', (path) => writeFileSync(join(path, index), '{}'), 'bad-file', 'weight_map'],
    ['points up', pointing('../model.safetensors'), 'bad-file', '../model.safetensors'],
    ['points to another folder', pointing('/etc/model.safetensors'), 'bad-file', '/etc'],
    ['points to another drive', pointing('C:\\model.safetensors'), 'bad-file', 'C:'],
    ['points to another kind of file', pointing('config.json'), 'bad-file', 'config.json'],
    ['points to a number', pointing(7), 'bad-file', '7'],
    [
      'points to a shard that is missing',
      pointing('model-9.safetensors'),
      'not-found',
      'model-9.safetensors',
    ],
    [
      'points to the wrong shard',
      pointing('model-00002-of-00002.safetensors'),
      'missing-tensor',
      'embed_tokens',
    ],
    [
      'comes with a tensor in two shards',
      (path) => {
        const first = join(path, 'model-00001-of-00002.safetensors');
        const second = join(path, 'model-00002-of-00002.safetensors');
        const tensors = readStored(second);
        writeFileSync(second, safetensorsFile([...tensors, ...readStored(first).slice(0, 1)]));
      },
      'bad-file',
      'is in both',
    ],
    [
      'comes with a shard cut short',
      (path) => truncateSync(join(path, 'model-00002-of-00002.safetensors'), 500),
      'bad-file',
      'model-00002-of-00002.safetensors',
    ],
  ])('%s', async (_, change, code, words) => {
    const path = shards();
    change(path);
    await expectError(path, code, path, words);
  });

  /** Puts the embedding into another file. */
  function pointing(file: unknown): (path: string) => void {
    return (path) => {
      const json = JSON.parse(readFileSync(join(path, index), 'utf8')) as {
        weight_map: Record<string, unknown>;
      };
      json.weight_map['model.embed_tokens.weight'] = file;
      writeFileSync(join(path, index), JSON.stringify(json));
    };
  }
});

describe('a path that is no model', () => {
  it('is not there, is empty, or has weights that this version does not read', async () => {
    await expectError(join(folder, 'nowhere'), 'not-found', 'nowhere');
    const path = join(folder, 'parts');
    mkdirSync(path);
    await expectError(path, 'not-found', path, 'model.safetensors');
    writeFileSync(join(path, 'model.gguf'), 'GGUF');
    await expectError(path, 'bad-file', 'model.gguf', 'end of the file');
    await expectError(join(path, 'model.gguf'), 'bad-file', 'model.gguf');
    writeFileSync(join(path, 'other.gguf'), 'GGUF');
    await expectError(path, 'bad-file', '2 GGUF files');
    writeFileSync(join(path, 'config.json'), JSON.stringify(goodConfig()));
    writeFileSync(join(path, 'pytorch_model.bin'), 'PK\x03\x04 and more than twenty-eight bytes');
    await expectError(path, 'bad-file', 'pytorch_model.bin', 'no directory');
    await expectError(join(path, 'pytorch_model.bin'), 'bad-file', 'no directory');
    writeFileSync(join(path, 'notes.txt'), '');
    await expectError(join(path, 'notes.txt'), 'unsupported', 'notes.txt');
  });

  it('lacks its config.json, or has a folder in the place of its weights', async () => {
    const path = good();
    rmSync(join(path, 'config.json'));
    await expectError(path, 'not-found', 'config.json is missing');
    await expectError(join(path, 'model.safetensors'), 'not-found', 'config.json is missing');
    const other = good();
    rmSync(join(other, 'model.safetensors'));
    mkdirSync(join(other, 'model.safetensors'));
    await expectError(other, 'bad-file', 'not a regular file');
  });

  it('is a link in a cache to a good file, and opens', async () => {
    const source = good();
    const path = join(folder, 'links');
    mkdirSync(path);
    for (const name of ['config.json', 'model.safetensors'])
      symlinkSync(join(source, name), join(path, name));
    await (await openCheckpoint(path)).close();
  });

  it('may not be read', async (context) => {
    if (process.platform === 'win32' || process.getuid === undefined) context.skip('needs file modes');
    // Root reads everything; a thread cannot give that up, so the whole test steps down for a moment.
    const path = good();
    const asRoot = process.getuid?.() === 0;
    chmodSync(folder, 0o755);
    chmodSync(path, 0o000);
    try {
      if (asRoot) process.seteuid?.(65534);
      await expectError(path, 'unreadable', path);
    } finally {
      if (asRoot) process.seteuid?.(0);
      chmodSync(path, 0o755);
    }
  });
});

describe('a bad llama2.c file', () => {
  const change = (edit: (bytes: Buffer) => Buffer) => {
    const path = good({ layout: 'llama2c' });
    writeFileSync(path, edit(readFileSync(path)));
    return path;
  };
  const field = (at: number, value: number) =>
    change((bytes) => {
      bytes.writeInt32LE(value, 4 * at);
      return bytes;
    });
  it.each<[string, () => string, ErrorCode, string]>([
    ['too short for a header', () => change((bytes) => bytes.subarray(0, 27)), 'bad-file', '27 bytes'],
    ['cut short', () => change((bytes) => bytes.subarray(0, -4)), 'bad-file', 'cut short'],
    ['too long', () => change((bytes) => Buffer.concat([bytes, bytes])), 'bad-file', 'bytes'],
    ['zero layers', () => field(2, 0), 'bad-file', 'n_layers'],
    ['negative heads', () => field(3, -2), 'bad-file', 'n_heads'],
    ['a huge vocabulary', () => field(5, -(2 ** 31)), 'bad-file', 'vocab_size'],
    ['heads that do not divide', () => field(3, 3), 'bad-value', 'n_heads'],
    ['a later version', () => field(0, 0x616b3432), 'unsupported', 'version 0'],
    [
      'a PyTorch file without a config.json',
      () => field(0, 0x04034b50),
      'not-found',
      'config.json is missing',
    ],
  ])('%s', async (_, make, code, words) => {
    const path = make();
    await expectError(path, code, path, words);
  });
});

describe('random damage', () => {
  it('opens or gives an error of ours, never another one', async () => {
    const path = good({ layout: 'onebit' });
    const file = join(path, 'model.safetensors');
    const whole = readFileSync(file);
    const start = 8 + Number(whole.readBigUInt64LE());
    let state = 12345;
    const random = (n: number) => (state = (state * 1103515245 + 12345) % 2147483648) % n;
    const symbols = Buffer.from('"{}[]:,0129-.eE\\u ');
    let refused = 0;
    for (let round = 0; round < 300; round++) {
      const damaged = Buffer.from(whole);
      for (let i = random(3); i >= 0; i--) {
        const at = round % 10 === 0 ? random(8) : 8 + random(start - 8);
        damaged[at] = round % 2 === 0 ? (symbols[random(symbols.length)] as number) : random(256);
      }
      writeFileSync(file, damaged);
      try {
        await (await openCheckpoint(path)).close();
      } catch (caught) {
        expect(caught).toBeInstanceOf(OneBitError);
        expect((caught as OneBitError).code).not.toBe('internal');
        expect((caught as OneBitError).message).toContain(path);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(250);
  });
});

function goodConfig(): unknown {
  return JSON.parse(readFileSync(join(good(), 'config.json'), 'utf8'));
}

type Stored = Parameters<typeof safetensorsFile>[0];

function readStored(path: string): Stored {
  const file = readFileSync(path);
  const start = 8 + Number(file.readBigUInt64LE());
  const header = JSON.parse(file.toString('utf8', 8, start)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  return Object.entries(header)
    .filter(([name]) => name !== '__metadata__')
    .map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [begin, end],
        },
      ]) => {
        return { name, dtype, shape, bytes: file.subarray(start + begin, start + end) };
      },
    );
}

function without(...names: string[]): (tensors: Stored) => Stored {
  return (tensors) => tensors.filter(({ name }) => !names.includes(name));
}

function more(name: string, shape: number[]): (tensors: Stored) => Stored {
  const bytes = Buffer.alloc(4 * shape.reduce((a, b) => a * b, 1));
  return (tensors) => [...tensors, { name, dtype: 'F32', shape, bytes }];
}

/** Gives a tensor another dtype or shape, of `bytes` bytes an element. */
function as(
  name: string,
  change: { dtype?: string; shape?: number[]; bytes: number },
): (tensors: Stored) => Stored {
  return (tensors) =>
    tensors.map((tensor) => {
      if (tensor.name !== name) return tensor;
      const shape = change.shape ?? tensor.shape;
      const bytes = Buffer.alloc(change.bytes * shape.reduce((a, b) => a * b, 1));
      return { name, dtype: change.dtype ?? tensor.dtype, shape, bytes };
    });
}
