/** Numbers in [0, 1). */
export type Random = () => number;

const oddValues: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  1e308,
  2 ** 53,
  '',
  '\u0000',
  '\ud800',
  '../../etc/passwd',
  '__proto__',
  'x'.repeat(5000),
  [],
  {},
  [[[[]]]],
];

export function pick<T>(random: Random, list: readonly T[]): T {
  return list[Math.floor(random() * list.length)] as T;
}

/** A copy of a JSON value in which one thing is replaced, left out, doubled or added. */
export function mutateValue(random: Random, value: unknown): unknown {
  if (random() < 0.15 || typeof value !== 'object' || value === null) return pick(random, oddValues);
  if (Array.isArray(value)) {
    const copy: unknown[] = [...(value as unknown[])];
    const at = Math.floor(random() * (copy.length + 1));
    if (random() < 0.3) copy.splice(at, 1);
    else copy[at] = mutateValue(random, copy[at]);
    return copy;
  }
  const entries = Object.entries(value);
  const at = Math.floor(random() * entries.length);
  const entry = entries[at];
  if (entry === undefined || random() < 0.1)
    return Object.fromEntries([...entries, ['more', pick(random, oddValues)]]);
  if (random() < 0.2) entries.splice(at, 1);
  else entries[at] = [entry[0], mutateValue(random, entry[1])];
  return Object.fromEntries(entries);
}

/** A copy of bytes, of which some are changed, cut off, or said twice. */
export function mutateBytes(random: Random, bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  const kind = random();
  if (kind < 0.3) return copy.subarray(0, Math.floor(random() * copy.length));
  if (kind < 0.4) return Buffer.concat([copy, copy]);
  for (let changes = 1 + Math.floor(random() * 8); changes > 0 && copy.length > 0; changes--) {
    copy[Math.floor(random() * copy.length)] = Math.floor(random() * 256);
  }
  return copy;
}
