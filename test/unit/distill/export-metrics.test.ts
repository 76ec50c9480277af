import { describe, expect, it } from 'vitest';
import { metricsCsv } from '../../../server/distill/export/metrics-csv.ts';
import { crc32c, tensorboardEvents } from '../../../server/distill/export/tensorboard-events.ts';
import type { Metric } from '../../../server/protocol/job.ts';

const metrics: Metric[] = [
  { step: 1, seconds: 0.5, loss: 2.25, kl: 2, learningRate: 1e-3, tokensPerSecond: 100, tokens: 50 },
  {
    ...{
      step: 300,
      seconds: 90.25,
      loss: 0.1 + 0.2,
      learningRate: 5e-4,
      tokensPerSecond: 101,
      tokens: 15_000,
    },
    perplexity: 66,
    signFlips: { sinceLast: [0.25, 0.5], sinceStart: [0.75, 1] },
    sample: { completion: 'é = 1;\nlet', prompt: 'let ', teacher: 'x' },
  },
];

describe('TensorBoard events', () => {
  it('have the check sums of RFC 3720', () => {
    // Its appendix B.4, and the check value of the CRC catalogue.
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
    expect(crc32c(new TextEncoder().encode('123456789'))).toBe(0xe3069283);
  });

  it('are read by a reader of TFRecord and of the protobuf wire format', () => {
    const events = records(tensorboardEvents(metrics, 1_700_000_000)).map(fields);
    expect(events).toHaveLength(3);
    expect(events[0]?.map(([field]) => field)).toEqual([1, 2, 3]);
    expect(string(one(events[0], 3))).toBe('brain.Event:2');
    expect(double(one(events[2], 1))).toBe(1_700_000_090.25);
    expect(one(events[2], 2)).toBe(300n);

    const values = (event: Field[] | undefined) =>
      fields(one(event, 5) as Buffer).map(([field, value]) => {
        expect(field).toBe(1);
        return fields(value as Buffer);
      });
    const scalars = (event: Field[] | undefined) =>
      Object.fromEntries(
        values(event)
          .filter((value) => value.some(([field]) => field === 2))
          .map((value) => [string(one(value, 1)), (one(value, 2) as Buffer).readFloatLE()]),
      );
    expect(scalars(events[1])).toEqual({
      ...{ seconds: 0.5, loss: 2.25, kl: 2, tokensPerSecond: 100, tokens: 50 },
      learningRate: Math.fround(1e-3),
    });
    expect(scalars(events[2])).toEqual({
      ...{
        seconds: 90.25,
        loss: Math.fround(0.1 + 0.2),
        tokensPerSecond: 101,
        tokens: 15_000,
        perplexity: 66,
      },
      learningRate: Math.fround(5e-4),
      'signFlips/sinceLast/layer-0': 0.25,
      'signFlips/sinceLast/layer-1': 0.5,
      'signFlips/sinceStart/layer-0': 0.75,
      'signFlips/sinceStart/layer-1': 1,
    });
    const texts = values(events[2])
      .filter((value) => value.some(([field]) => field === 8))
      .map((value) => {
        const tensor = fields(one(value, 8) as Buffer);
        const plugin = fields(one(fields(one(value, 9) as Buffer), 1) as Buffer);
        const size = one(fields(one(fields(one(tensor, 2) as Buffer), 2) as Buffer), 1);
        return [string(one(value, 1)), one(tensor, 1), size, string(one(tensor, 8)), string(one(plugin, 1))];
      });
    expect(texts).toEqual([
      ['sample/completion', 7n, 1n, '    é = 1;\n    let', 'text'],
      ['sample/prompt', 7n, 1n, '    let ', 'text'],
      ['sample/teacher', 7n, 1n, '    x', 'text'],
    ]);
  });
});

describe('CSV', () => {
  it('has a column for each figure and all digits', () => {
    expect(metricsCsv(metrics).split('\r\n')).toEqual([
      'step,seconds,loss,kl,learningRate,tokensPerSecond,tokens,perplexity,' +
        'signFlips/sinceLast/layer-0,signFlips/sinceLast/layer-1,' +
        'signFlips/sinceStart/layer-0,signFlips/sinceStart/layer-1',
      '1,0.5,2.25,2,0.001,100,50,,,,,',
      '300,90.25,0.30000000000000004,,0.0005,101,15000,66,0.25,0.5,0.75,1',
      '',
    ]);
  });
});

/** Field number and value: a varint as bigint, everything else as its bytes. */
type Field = [number, bigint | Buffer];

/** The data of each TFRecord, its two check sums verified bit by bit. */
function records(file: Uint8Array): Buffer[] {
  const buffer = Buffer.from(file);
  const found: Buffer[] = [];
  for (let at = 0; at < buffer.length;) {
    const length = Number(buffer.readBigUInt64LE(at));
    expect(buffer.readUInt32LE(at + 8)).toBe(masked(buffer.subarray(at, at + 8)));
    const data = buffer.subarray(at + 12, at + 12 + length);
    expect(data).toHaveLength(length);
    expect(buffer.readUInt32LE(at + 12 + length)).toBe(masked(data));
    found.push(data);
    at += 16 + length;
  }
  return found;
}

/** The masked CRC-32C by polynomial division over the bits, without a table. */
function masked(data: Buffer): number {
  let rest = 0xffffffffn;
  for (const byte of data) {
    rest ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) rest = (rest & 1n) === 1n ? (rest >> 1n) ^ 0x82f63b78n : rest >> 1n;
  }
  const crc = rest ^ 0xffffffffn;
  return Number((((crc >> 15n) | ((crc << 17n) & 0xffffffffn)) + 0xa282ead8n) & 0xffffffffn);
}

function fields(message: Buffer): Field[] {
  const found: Field[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message.readUInt8(at++);
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const key = Number(varint());
    const take = (length: number): Buffer => {
      expect(at + length).toBeLessThanOrEqual(message.length);
      at += length;
      return message.subarray(at - length, at);
    };
    const read: Record<number, () => bigint | Buffer> = {
      0: varint,
      1: () => take(8),
      2: () => take(Number(varint())),
      5: () => take(4),
    };
    const value = read[key & 7]?.();
    if (value === undefined) throw new Error(`wire type ${key & 7}`);
    found.push([key >> 3, value]);
  }
  return found;
}

function one(message: Field[] | undefined, field: number): bigint | Buffer {
  const values = (message ?? []).filter(([number]) => number === field);
  expect(values).toHaveLength(1);
  return values[0]?.[1] ?? 0n;
}

const string = (value: bigint | Buffer): string => (value as Buffer).toString('utf8');
const double = (value: bigint | Buffer): number => (value as Buffer).readDoubleLE();
