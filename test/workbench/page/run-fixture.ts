import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { starterStudent } from '../harness/places.ts';

/** A training run on disk, made from the shipped model: its signs at some steps, one matrix changing. */
export interface RunFixture {
  /** The model that the run wrote: the shipped one. */
  model: string;
  /** Where the signs of a step are. */
  signs(step: number): string;
  remove(): void;
}

/**
 * @param matrix whose signs change
 * @param flippedBytes by step: how many of its packed bytes, from the first on, have all eight signs the other way than
 *   the model
 */
export function runFixture(matrix: string, flippedBytes: Record<number, number>): RunFixture {
  const folder = mkdtempSync(join(tmpdir(), 'onebit-run-'));
  const model = join(folder, 'student');
  cpSync(starterStudent, model, { recursive: true });
  const signs = join(`${model}.run`, 'signs');
  mkdirSync(signs, { recursive: true });
  writeFileSync(join(`${model}.run`, 'run.json'), '{}');
  const whole = readFileSync(join(starterStudent, 'model.safetensors'));
  const headerBytes = Number(whole.readBigUInt64LE(0));
  const header = JSON.parse(whole.toString('utf8', 8, 8 + headerBytes)) as Record<
    string,
    { data_offsets: [number, number] }
  >;
  const first = 8 + headerBytes + (header[`${matrix}.weight`]?.data_offsets[0] ?? NaN);
  const place = (step: number) => join(signs, `step-${step}.safetensors`);
  for (const [step, count] of Object.entries(flippedBytes)) {
    const changed = Buffer.from(whole);
    for (let i = first; i < first + count; i++) changed[i] = (changed[i] ?? 0) ^ 0xff;
    writeFileSync(place(Number(step)), changed);
  }
  return { model, signs: place, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
