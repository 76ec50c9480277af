import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { inspectActivations } from '../../../server/inspect/activations.ts';
import { inspectActivationsResultSchema } from '../../../server/protocol/inspect.ts';
import type { Progress } from '../../../server/protocol/progress.ts';
import { byteTokens, writeByteTokenizer } from '../../reference/byte-tokenizer.ts';
import { LlamaReference } from '../../reference/llama-forward.ts';
import { writeRandomCheckpoint } from '../../reference/random-checkpoint.ts';

const folder = mkdtempSync(join(tmpdir(), 'onebit-activations-'));
afterAll(() => rmSync(folder, { recursive: true }));

const shape = { hiddenSize: 32, intermediateSize: 40, heads: 4, kvHeads: 2, vocabSize: byteTokens.vocabSize };
const write = (name: string, layout: 'onebit' | 'bitllama-training' | 'full', seed: number, more = {}) => {
  const options = { layout, seed, ...shape, maxPositions: 280, bosTokenId: null, eosTokenId: null, ...more };
  const { path } = writeRandomCheckpoint(join(folder, name), options);
  writeByteTokenizer(path);
  return path;
};
const teacher = write('teacher', 'full', 1);
const text = 'let answer = 6 * 7;\n'.repeat(30);

/** Every matrix's inputs and outputs, token after token, in float64. */
function flows(path: string, ids: number[]): Map<string, { x: number[]; y: number[] }> {
  const found = new Map<string, { x: number[]; y: number[] }>();
  const reference = new LlamaReference(path, {
    onLinear: (name, x, y) => {
      const flow = found.get(name) ?? { x: [], y: [] };
      flow.x.push(...x);
      flow.y.push(...y);
      found.set(name, flow);
    },
  });
  reference.logits(ids);
  return found;
}

const rms = (values: number[]) => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);

it.each(['onebit', 'bitllama-training'] as const)(
  'sizes and errors as in a float64 forward pass: %s',
  async (layout) => {
    const student = write(layout, layout, 2);
    const seen: Progress[] = [];
    const found = inspectActivationsResultSchema.parse(
      await inspectActivations(student, text, { teacher, onProgress: (progress) => seen.push(progress) }),
    );
    // The tokens are bytes; the context of 280 cuts the text, in more than one block of rows.
    expect(found.tokens).toBe(280);
    const ids = [...Buffer.from(text)].slice(0, 280);
    const [own, others] = [flows(student, ids), flows(teacher, ids)];
    expect(found.matrices.map(({ name }) => name)).toHaveLength(own.size);
    for (const matrix of found.matrices) {
      const flow = own.get(matrix.name) ?? { x: [], y: [] };
      const other = others.get(matrix.name) ?? { x: [], y: [] };
      const error = rms(flow.y.map((y, i) => y - (other.y[i] as number))) / rms(other.y);
      for (const [value, expected] of [
        [matrix.inputRms, rms(flow.x)],
        [matrix.outputRms, rms(flow.y)],
        [matrix.teacherInputRms, rms(other.x)],
        [matrix.teacherOutputRms, rms(other.y)],
        [matrix.teacherError, error],
      ] as const) {
        expect(Math.abs((value ?? NaN) / expected - 1), `${matrix.name} ${expected}`).toBeLessThan(1e-5);
      }
    }
    expect(seen.map(({ done }) => done)).toEqual(Array.from({ length: 2 * own.size }, (_, i) => i + 1));
  },
);

it('says nothing of a teacher where there is none; refuses one of another shape; stops when cancelled', async () => {
  const student = write('alone', 'onebit', 3);
  const { matrices, tokens } = await inspectActivations(student, 'ab');
  expect(tokens).toBe(2);
  expect(matrices[0]).not.toHaveProperty('teacherError');
  const wider = write('wider', 'full', 4, { intermediateSize: 48 });
  await expect(inspectActivations(student, 'ab', { teacher: wider })).rejects.toMatchObject({
    code: 'bad-request',
  });
  await expect(inspectActivations(student, 'ab', { signal: AbortSignal.abort() })).rejects.toMatchObject({
    code: 'cancelled',
  });
});
