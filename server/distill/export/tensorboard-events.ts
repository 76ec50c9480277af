import type { Metric } from '../../protocol/job.ts';
import { metricScalars } from './metric-scalars.ts';

/**
 * A run's metrics as a TensorBoard event file: a TFRecord file of Event messages (tensorflow/core/util/event.proto),
 * `brain.Event:2` first. Figures become scalars, completion samples texts.
 * @param startedAt when the run began, in seconds since 1970; a step's wall time is that plus its seconds
 */
export function tensorboardEvents(metrics: readonly Metric[], startedAt: number): Uint8Array {
  const records = [record(event(startedAt, 0, text(3, 'brain.Event:2')))];
  for (const metric of metrics) {
    const values = metricScalars(metric).map(([tag, value]) => scalar(tag, value));
    const { sample } = metric;
    if (sample !== undefined) {
      for (const [name, said] of Object.entries(sample)) values.push(textSummary(`sample/${name}`, said));
    }
    // Event.summary = 5, Summary.value = 1.
    const summary = bytes(5, concat(values.map((value) => bytes(1, value))));
    records.push(record(event(startedAt + metric.seconds, metric.step, summary)));
  }
  return concat(records);
}

/** Event: wall_time = 1 (double), step = 2 (int64), then what it holds. */
function event(wallTime: number, step: number, content: Uint8Array): Uint8Array {
  const time = new Uint8Array(9);
  time[0] = (1 << 3) | 1;
  new DataView(time.buffer).setFloat64(1, wallTime, true);
  return concat([time, Uint8Array.of(2 << 3, ...varint(step)), content]);
}

/** Summary.Value of a number: tag = 1, simple_value = 2 (float). */
function scalar(tag: string, value: number): Uint8Array {
  const number = new Uint8Array(5);
  number[0] = (2 << 3) | 5;
  new DataView(number.buffer).setFloat32(1, value, true);
  return concat([text(1, tag), number]);
}

/**
 * Summary.Value of a text: tag = 1, tensor = 8 (dtype = 1 is DT_STRING = 7, tensor_shape = 2 of one dimension,
 * string_val = 8), metadata = 9 (plugin_data = 1 with plugin_name = 1). TensorBoard shows it as Markdown, so it is
 * indented as code.
 */
function textSummary(tag: string, said: string): Uint8Array {
  const code = said
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n');
  const dimension = bytes(2, Uint8Array.of(1 << 3, 1));
  const tensor = concat([Uint8Array.of(1 << 3, 7), bytes(2, dimension), text(8, code)]);
  return concat([text(1, tag), bytes(8, tensor), bytes(9, bytes(1, text(1, 'text')))]);
}

/** A length-delimited field. */
function bytes(field: number, content: Uint8Array): Uint8Array {
  return concat([Uint8Array.of((field << 3) | 2, ...varint(content.length)), content]);
}

function text(field: number, content: string): Uint8Array {
  return bytes(field, new TextEncoder().encode(content));
}

function varint(value: number): number[] {
  const groups: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) groups.push((rest % 128) | 128);
  return [...groups, rest];
}

/** A TFRecord: length (u64), its masked CRC, the data, its masked CRC; all little-endian. */
function record(data: Uint8Array): Uint8Array {
  const whole = new Uint8Array(16 + data.length);
  const view = new DataView(whole.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc(whole.subarray(0, 8)), true);
  whole.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc(data), true);
  return whole;
}

/** The mask keeps a CRC of data that holds CRCs from being weak (tensorflow/core/lib/hash/crc32c.h). */
function maskedCrc(data: Uint8Array): number {
  const crc = crc32c(data);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), RFC 3720 appendix B.4. */
export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = (crc >>> 8) ^ (crcTable[(crc ^ byte) & 255] ?? 0);
  return (crc ^ 0xffffffff) >>> 0;
}

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
