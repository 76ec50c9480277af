import { createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { throwIfCancelled } from '../../protocol/error.ts';
import type { OnProgress } from '../../protocol/progress.ts';
import type { Document } from './document.ts';
import { NearDuplicateIndex } from './near-duplicates.ts';

/** `exact`: the same text but for white space; `near`: also what is nearly the same (NearDuplicateIndex). */
export type DuplicateKind = 'exact' | 'near';

interface Control {
  signal?: AbortSignal;
  onProgress?: OnProgress;
}

/** Documents between two looks at the signal. */
const stride = 64;

/** Keeps the first of the documents that are duplicates of each other, in their order. */
export async function dropDuplicates(
  documents: readonly Document[],
  kind: DuplicateKind,
  seed: number,
  control: Control,
): Promise<{ kept: Document[]; exact: number; near: number }> {
  const kept: Document[] = [];
  const seen = new Set<string>();
  const index = new NearDuplicateIndex(seed);
  let exact = 0;
  let near = 0;
  for (const [i, document] of documents.entries()) {
    if (i % stride === 0) await breathe(control, i, documents.length);
    const key = exactKey(document.text);
    if (seen.has(key)) {
      exact++;
      continue;
    }
    seen.add(key);
    if (kind === 'near') {
      const sketch = index.sketch(document.text);
      if (index.similar(sketch).next().done !== true) {
        near++;
        continue;
      }
      index.add(sketch);
    }
    kept.push(document);
  }
  return { kept, exact, near };
}

/** The held-out documents that are no duplicates of training documents, so that perplexity on them is honest. */
export async function withoutTrainingText(
  heldOut: readonly Document[],
  train: readonly Document[],
  kind: DuplicateKind,
  seed: number,
  control: Control,
): Promise<Document[]> {
  // The index is over the held-out side: it is the small one.
  const places = new Map<string, number[]>();
  const index = new NearDuplicateIndex(seed);
  for (const [place, { text }] of heldOut.entries()) {
    const key = exactKey(text);
    const same = places.get(key);
    if (same === undefined) places.set(key, [place]);
    else same.push(place);
    if (kind === 'near') index.add(index.sketch(text));
  }
  const dropped = new Set<number>();
  for (const [i, { text }] of train.entries()) {
    if (i % stride === 0) await breathe(control, i, train.length);
    for (const place of places.get(exactKey(text)) ?? []) dropped.add(place);
    if (kind === 'near') for (const place of index.similar(index.sketch(text))) dropped.add(place);
  }
  return heldOut.filter((_, place) => !dropped.has(place));
}

/** Lets a signal in, and says how far it is. */
async function breathe({ signal, onProgress }: Control, done: number, total: number): Promise<void> {
  await turn();
  throwIfCancelled(signal);
  onProgress?.({ phase: 'find duplicates', done, total, unit: 'files' });
}

/** Equal for texts that differ in nothing but white space. */
const exactKey = (text: string): string =>
  createHash('sha256').update(text.replace(/\s+/g, ' ').trim()).digest('base64');
