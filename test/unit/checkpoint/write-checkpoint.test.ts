import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Checkpoint, TensorSource } from '../../../server/checkpoint/checkpoint.ts';
import { hfConfigJson } from '../../../server/checkpoint/hf-config-json.ts';
import { openCheckpoint } from '../../../server/checkpoint/open-checkpoint.ts';
import { writeCheckpoint } from '../../../server/checkpoint/write-checkpoint.ts';
import { writeRandomCheckpoint } from '../../reference/random-checkpoint.ts';

let folder: string;
let source: Checkpoint;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'onebit-write-'));
  const made = writeRandomCheckpoint(join(folder, 'source'), {
    layout: 'onebit',
    kvHeads: 2,
    hiddenSize: 128,
  });
  writeFileSync(join(made.path, 'tokenizer.json'), '{"any": "bytes"}');
  writeFileSync(join(made.path, 'tokenizer_config.json'), '{"eos_token": null}');
  source = await openCheckpoint(made.path);
});
afterAll(async () => {
  await source.close();
  rmSync(folder, { recursive: true });
});

const sources = (): TensorSource[] =>
  [...source.tensors.values()].map(({ name, dtype, shape }) => ({
    name,
    dtype,
    shape,
    bytes: (signal) => source.readBytes(name, signal),
  }));
const config = () => hfConfigJson(source.config, 'onebit');
const hidden = (parent: string) => readdirSync(parent).filter((name) => name.startsWith('.'));

describe('writeCheckpoint', () => {
  it.each([
    ['one file', undefined],
    ['shards', 20_000],
  ])('writes what openCheckpoint reads back: %s', async (name, maxShardBytes) => {
    const target = join(folder, 'new parent', name);
    const seen: number[] = [];
    await writeCheckpoint(target, {
      config: config(),
      tensors: sources(),
      tokenizerFrom: source.path,
      onebit: { tool: 'test' },
      maxShardBytes,
      onProgress: ({ done, total }) => seen.push(done / total),
    });
    const written = await openCheckpoint(target);
    expect(written.kind).toBe('onebit');
    expect(written.config).toEqual(source.config);
    expect(new Set(written.tensors.keys())).toEqual(new Set(source.tensors.keys()));
    for (const [tensor, info] of written.tensors) {
      expect(Buffer.from(await written.readBytes(tensor)).equals(await source.readBytes(tensor))).toBe(true);
      // Every tensor lies where a mapped file can be read as its dtype; these sizes allow more.
      if (info.byteLength % 64 === 0) expect(info.offset % 64).toBe(0);
    }
    await written.close();
    const files = readdirSync(target).filter((file) => file.endsWith('.safetensors'));
    expect(files.length > 1).toBe(maxShardBytes !== undefined);
    expect(readFileSync(join(target, 'tokenizer.json'), 'utf8')).toBe('{"any": "bytes"}');
    expect(existsSync(join(target, 'tokenizer_config.json'))).toBe(true);
    expect(JSON.parse(readFileSync(join(target, 'onebit.json'), 'utf8'))).toEqual({ tool: 'test' });
    expect(seen.at(-1)).toBe(1);
    expect(hidden(join(folder, 'new parent'))).toEqual([]);
  });

  it('keeps the alignment of floats whatever the sizes before them', async () => {
    const target = join(folder, 'odd sizes');
    const shapes: [string, TensorSource['dtype'], number[]][] = [
      ['a', 'U8', [3]],
      ['b', 'F16', [5]],
      ['c', 'F32', [7]],
      ['d', 'U8', [64]],
    ];
    await writeCheckpoint(target, {
      config: {},
      tensors: shapes.map(([name, dtype, shape], i) => ({
        name,
        dtype,
        shape,
        bytes: () =>
          new Uint8Array((shape[0] as number) * { U8: 1, F16: 2, F32: 4 }[dtype as 'U8']).fill(i + 1),
      })),
    });
    const file = readFileSync(join(target, 'model.safetensors'));
    const length = Number(file.readBigUInt64LE());
    const header = JSON.parse(file.toString('utf8', 8, 8 + length)) as Record<
      string,
      { data_offsets: [number, number] }
    >;
    expect((8 + length) % 64).toBe(0);
    const data = file.subarray(8 + length);
    for (const [i, [name, , [count]]] of shapes.entries()) {
      const [begin, end] = header[name]?.data_offsets ?? [0, 0];
      const size = (end - begin) / (count as number);
      expect(begin % size).toBe(0);
      expect(data.subarray(begin, end).every((byte) => byte === i + 1)).toBe(true);
    }
    expect(data.length).toBe(3 + 10 + 28 + 64);
  });

  it('leaves the old model whole and nothing else when a source fails, or the signal fires', async () => {
    const parent = join(folder, 'kept');
    const target = join(parent, 'model');
    await writeCheckpoint(target, { config: config(), tensors: sources() });
    const before = readFileSync(join(target, 'model.safetensors'));
    const failing = sources();
    (failing[5] as TensorSource).bytes = () => Promise.reject(new Error('the source broke'));
    await expect(
      writeCheckpoint(target, { config: config(), tensors: failing, replace: true }),
    ).rejects.toThrow('the source broke');
    const controller = new AbortController();
    const aborting = sources();
    (aborting[5] as TensorSource).bytes = (signal) => {
      controller.abort();
      return source.readBytes((aborting[5] as TensorSource).name, signal);
    };
    await expect(
      writeCheckpoint(target, {
        config: config(),
        tensors: aborting,
        replace: true,
        signal: controller.signal,
      }),
    ).rejects.toMatchObject({ code: 'cancelled' });
    expect(readFileSync(join(target, 'model.safetensors')).equals(before)).toBe(true);
    expect(readdirSync(parent)).toEqual(['model']);
  });

  it('replaces a model only when told, and never a folder with other things', async () => {
    const parent = join(folder, 'replace');
    const target = join(parent, 'model');
    await writeCheckpoint(target, { config: config(), tensors: sources(), onebit: { run: 1 } });
    await expect(writeCheckpoint(target, { config: config(), tensors: sources() })).rejects.toMatchObject({
      code: 'bad-request',
    });
    await writeCheckpoint(target, {
      config: config(),
      tensors: sources(),
      onebit: { run: 2 },
      replace: true,
    });
    expect(JSON.parse(readFileSync(join(target, 'onebit.json'), 'utf8'))).toEqual({ run: 2 });
    expect(readdirSync(parent)).toEqual(['model']);
    writeFileSync(join(target, 'diary.txt'), 'mine');
    await expect(
      writeCheckpoint(target, { config: config(), tensors: sources(), replace: true }),
    ).rejects.toThrow('diary.txt');
    expect(readFileSync(join(target, 'diary.txt'), 'utf8')).toBe('mine');
    await expect(
      writeCheckpoint(join(target, 'diary.txt'), { config: config(), tensors: sources() }),
    ).rejects.toThrow('is a file');
  });

  it('clears up after a writer that was killed', async () => {
    const parent = join(folder, 'killed');
    const dead = spawnSync(process.execPath, ['-e', '']).pid;
    mkdirSync(join(parent, `.model.partial-${dead}-0123abcd`), { recursive: true });
    mkdirSync(join(parent, `.model.partial-${process.pid}-0123abcd`));
    // Killed between the two renames of a replacement: the old model is the good one.
    mkdirSync(join(parent, `.other.partial-${dead}-0123abcd.old`));
    writeFileSync(join(parent, `.other.partial-${dead}-0123abcd.old`, 'onebit.json'), '{}');
    await writeCheckpoint(join(parent, 'model'), { config: config(), tensors: sources() });
    expect(readdirSync(parent).sort()).toEqual([
      `.model.partial-${process.pid}-0123abcd`,
      `.other.partial-${dead}-0123abcd.old`,
      'model',
    ]);
    await expect(
      writeCheckpoint(join(parent, 'other'), { config: config(), tensors: sources() }),
    ).rejects.toThrow('already holds a model');
    expect(readdirSync(join(parent, 'other'))).toEqual(['onebit.json']);
  });

  it('refuses a source that gives too few bytes', async () => {
    const target = join(folder, 'short');
    const short: TensorSource[] = [{ name: 'x', dtype: 'F32', shape: [4], bytes: () => new Uint8Array(15) }];
    await expect(writeCheckpoint(target, { config: {}, tensors: short })).rejects.toThrow('Tensor x');
    expect(existsSync(target)).toBe(false);
  });
});

describe('a full disk', () => {
  const disk = mkdtempSync(join(tmpdir(), 'onebit-disk-'));
  let mounted = false;
  beforeAll(() => {
    mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', disk]).status === 0;
  });
  afterAll(() => {
    if (mounted) execFileSync('umount', [disk]);
    rmSync(disk, { recursive: true, force: true });
  });
  const zeros = (name: string, size: number): TensorSource => ({
    name,
    dtype: 'U8',
    shape: [size],
    bytes: () => new Uint8Array(size).fill(1),
  });

  it('is noticed before anything is written', async (context) => {
    if (!mounted) context.skip('a tmpfs cannot be mounted here');
    const tensors = [zeros('a', 100_000), zeros('b', 200_000)];
    await expect(writeCheckpoint(join(disk, 'model'), { config: {}, tensors })).rejects.toMatchObject({
      code: 'no-space',
      message: expect.stringContaining('0.3 MB') as string,
    });
    expect(readdirSync(disk)).toEqual([]);
  });

  it('in the middle of writing loses nothing that was there', async (context) => {
    if (!mounted) context.skip('a tmpfs cannot be mounted here');
    await writeCheckpoint(join(disk, 'model'), { config: {}, tensors: [zeros('a', 50_000)] });
    const tensors = [zeros('a', 60_000), zeros('b', 60_000)];
    (tensors[1] as TensorSource).bytes = () => {
      // Another program takes the space after the writer has looked.
      writeFileSync(join(disk, 'filler'), new Uint8Array(100_000));
      return new Uint8Array(60_000);
    };
    await expect(
      writeCheckpoint(join(disk, 'model'), { config: {}, tensors, replace: true }),
    ).rejects.toMatchObject({ code: 'no-space', message: expect.stringContaining(disk) as string });
    expect(readdirSync(disk).sort()).toEqual(['filler', 'model']);
    expect(readFileSync(join(disk, 'model', 'model.safetensors')).length).toBeGreaterThan(50_000);
  });
});
