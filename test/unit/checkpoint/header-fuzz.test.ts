import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { openCheckpoint } from '../../../server/checkpoint/open-checkpoint.ts';
import { OneBitError } from '../../../server/protocol/error.ts';
import { loadTokenizer } from '../../../server/tokenizer/load-tokenizer.ts';
import { writeByteTokenizer } from '../../reference/byte-tokenizer.ts';
import { mutateBytes, mutateValue, type Random } from '../../reference/mutate.ts';
import { writeRandomCheckpoint, type RandomCheckpointOptions } from '../../reference/random-checkpoint.ts';
import { uniform } from '../../reference/random.ts';
import { sentencePieceFile, type SentencePiece } from '../../reference/sentencepiece-file.ts';
import { llamaFields, llamaTensors, writeGguf, type GgufField } from '../../reference/write-gguf.ts';
import { writeTorch } from '../../reference/write-torch.ts';

// ONEBIT_FUZZ=10000 for the whole count of each kind; ONEBIT_FUZZ_SEED for others. The long run says what was slowest.
const count = Number(process.env.ONEBIT_FUZZ ?? 250);
const seed = Number(process.env.ONEBIT_FUZZ_SEED ?? 1);
const isLong = count > 1000;

const folder = mkdtempSync(join(tmpdir(), 'onebit-fuzz-'));
afterAll(() => rmSync(folder, { recursive: true }));

const small: RandomCheckpointOptions = {
  ...{
    layout: 'full',
    dtype: 'F32',
    hiddenSize: 16,
    intermediateSize: 24,
    layers: 1,
    heads: 2,
    vocabSize: 8,
  },
  maxPositions: 8,
};
const model = writeRandomCheckpoint(join(folder, 'model'), small);
const values = [...model.tensors].map(([name, { shape, values: numbers }]) => ({
  ...{ name, shape, values: Float32Array.from(numbers) },
}));
writeGguf(
  join(folder, 'good.gguf'),
  llamaFields(model),
  llamaTensors(model, (numbers) => ({ type: 0, bytes: Buffer.from(numbers.slice().buffer) })),
);
writeTorch(join(folder, 'good.bin'), values);
writeByteTokenizer(folder);
copyFileSync(join(folder, 'tokenizer.json'), join(folder, 'good.json'));
writeFileSync(join(folder, 'good.tokens'), llama2cTokenizer());
writeFileSync(join(folder, 'good.model'), sentencePieceFile(pieces()));
writeGguf(join(folder, 'good-pieces.gguf'), ggufPieces(pieces()), []);

const open = async (path: string) => (await openCheckpoint(path)).close();
/** A tokenizer that was read can be used. */
const tokenize = async (path: string) => (await loadTokenizer(path)).encode('ab <unk>é\n  abab');
const kinds: Record<string, { file: string; good: string; read(path: string): Promise<unknown> }> = {
  safetensors: {
    file: join(model.path, 'model.safetensors'),
    good: join(folder, 'good.safetensors'),
    read: () => open(model.path),
  },
  gguf: { file: join(folder, 'model.gguf'), good: join(folder, 'good.gguf'), read: open },
  torch: {
    file: join(folder, 'torch', 'pytorch_model.bin'),
    good: join(folder, 'good.bin'),
    read: () => open(join(folder, 'torch')),
  },
  'tokenizer.json': {
    file: join(folder, 'tokenizer.json'),
    good: join(folder, 'good.json'),
    read: tokenize,
  },
  'tokenizer.bin': {
    file: join(folder, 'tokenizer.bin'),
    good: join(folder, 'good.tokens'),
    read: tokenize,
  },
  'tokenizer.model': {
    file: join(folder, 'tokenizer.model'),
    good: join(folder, 'good.model'),
    read: tokenize,
  },
  'tokenizer of a gguf': {
    file: join(folder, 'pieces', 'model.gguf'),
    good: join(folder, 'good-pieces.gguf'),
    read: tokenize,
  },
};
copyFileSync(join(model.path, 'model.safetensors'), join(folder, 'good.safetensors'));
mkdirSync(join(folder, 'pieces'));
writeRandomCheckpoint(join(folder, 'torch'), small);
rmSync(join(folder, 'torch', 'model.safetensors'));

/** A safetensors file whose header is another JSON value; a tokenizer.json that is one; else other bytes. */
function mutate(random: Random, kind: string, good: Buffer): Buffer {
  if (kind === 'tokenizer.json' && random() < 0.7) {
    let value = JSON.parse(good.toString()) as unknown;
    for (let i = 0; i < 1 + random() * 3; i++) value = mutateValue(random, value);
    return Buffer.from(JSON.stringify(value));
  }
  if (kind === 'safetensors' && random() < 0.7) {
    const length = Number(good.readBigUInt64LE(0));
    const json = Buffer.from(
      JSON.stringify(mutateValue(random, JSON.parse(good.toString('utf8', 8, 8 + length)))),
    );
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(json.length));
    return Buffer.concat([size, json, good.subarray(8 + length)]);
  }
  // Where the structure is: most of the bytes of so small a file are numbers of tensors.
  const head = kind === 'gguf' ? 900 : kind === 'torch' ? undefined : 200;
  if (head !== undefined && random() < 0.6) {
    return Buffer.concat([mutateBytes(random, good.subarray(0, head)), good.subarray(head)]);
  }
  if (kind === 'torch' && random() < 0.8) {
    const [start, end] = random() < 0.5 ? [0, 1500] : [good.length - 1500, good.length];
    const part = mutateBytes(random, good.subarray(start, end));
    return Buffer.concat([good.subarray(0, start), part, good.subarray(end)]);
  }
  return mutateBytes(random, good);
}

it.each(Object.keys(kinds))(
  'a damaged %s is read or refused with its name, without a crash or much memory',
  async (kind) => {
    const { file, good, read } = kinds[kind] as (typeof kinds)[string];
    const original = readFileSync(good);
    const random = uniform(seed);
    const before = process.memoryUsage.rss();
    let [slowest, slowestAt, refused] = [0, -1, 0];
    for (let i = 0; i < count; i++) {
      writeFileSync(file, mutate(random, kind, original));
      const started = process.cpuUsage();
      try {
        await read(file);
      } catch (error) {
        refused++;
        if (!(error instanceof OneBitError)) throw new Error(`${kind} ${i} (seed ${seed})`, { cause: error });
        expect(error.message, `${kind} ${i}`).toContain(folder);
        expect(error.code, `${kind} ${i}: ${error.message}`).not.toBe('internal');
      }
      const { user, system } = process.cpuUsage(started);
      const seconds = (user + system) / 1e6;
      if (seconds > slowest) [slowest, slowestAt] = [seconds, i];
    }
    const grown = (process.memoryUsage.rss() - before) / 2 ** 20;
    if (isLong) {
      console.info(
        `${kind}: ${count} files, ${refused} refused, slowest ${slowest.toFixed(2)} s of the processor (${slowestAt}), ${grown.toFixed(0)} MiB more`,
      );
      expect(slowest).toBeLessThan(1);
    }
    expect(refused).toBeGreaterThan(count / 3);
    expect(grown).toBeLessThan(512);
    writeFileSync(file, original);
    await read(file);
  },
  3_600_000,
);

/** Unknown, BOS, EOS, 256 bytes and two words, as llama2.c writes them. */
/** Few enough that changed bytes mostly hit what the reader looks at. */
function pieces(): SentencePiece[] {
  const bytes = [0x0a, 0xa9, 0xc3].map((byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
  return [
    ['<unk>', 0, 2],
    ['<s>', 0, 3],
    ['</s>', 0, 3],
    ...bytes.map((text): SentencePiece => [text, 0, 6]),
    ...['▁', 'a', 'b', 'ab', '▁a', '▁ab', 'abab'].map((text, i): SentencePiece => [text, -i, 1]),
    ['@@', 0, 4],
  ];
}

function ggufPieces(list: readonly SentencePiece[]): GgufField[] {
  return [
    ['tokenizer.ggml.model', 'text', 'llama'],
    ['tokenizer.ggml.tokens', 'texts', list.map(([text]) => text)],
    ['tokenizer.ggml.scores', 'floats', list.map(([, score]) => score)],
    ['tokenizer.ggml.token_type', 'ints', list.map(([, , kind]) => kind)],
    ['tokenizer.ggml.bos_token_id', 'u32', 1],
    ['tokenizer.ggml.eos_token_id', 'u32', 2],
  ];
}

function llama2cTokenizer(): Buffer {
  const pieces = ['<unk>', '<s>', '</s>'];
  for (let byte = 0; byte < 256; byte++)
    pieces.push(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
  pieces.push(' a', 'b');
  const parts: Buffer[] = [Buffer.alloc(4)];
  parts[0]?.writeInt32LE(8);
  for (const piece of pieces) {
    const head = Buffer.alloc(8);
    head.writeFloatLE(-1);
    head.writeInt32LE(Buffer.byteLength(piece), 4);
    parts.push(head, Buffer.from(piece));
  }
  return Buffer.concat(parts);
}
