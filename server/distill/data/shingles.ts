/** Tokens of a shingle: 5, as in the deduplication of The Stack (Kocetkov et al. 2022). */
export const shingleTokens = 5;

/**
 * Hashes (u32) of the text's shingles, the runs of 5 tokens, in their order and with repetitions. A token is
 * a word, a sign, or one code unit of a script without spaces; white space only separates. A text of fewer
 * tokens is one shingle; one without any has none.
 */
export function shingleHashes(text: string): Uint32Array {
  const tokens = tokenHashes(text);
  if (tokens.length === 0) return tokens;
  const count = Math.max(1, tokens.length - shingleTokens + 1);
  const hashes = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    let hash = 0;
    const end = Math.min(tokens.length, i + shingleTokens);
    for (let j = i; j < end; j++) hash = Math.imul(hash, 0x9e3779b1) + (tokens[j] ?? 0);
    hashes[i] = mixed(hash);
  }
  return hashes;
}

/** Size of the intersection over size of the union; 0 for two empty sets. @param a, b sorted, each value once */
export function jaccard(a: Uint32Array, b: Uint32Array): number {
  let common = 0;
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const [x, y] = [a[i] as number, b[j] as number];
    if (x === y) common++;
    if (x <= y) i++;
    if (y <= x) j++;
  }
  const union = a.length + b.length - common;
  return union === 0 ? 0 : common / union;
}

/** The values in ascending order, each once: the set that jaccard takes. */
export function asSet(values: Uint32Array): Uint32Array {
  const sorted = values.slice().sort();
  return sorted.filter((value, i) => i === 0 || value !== sorted[i - 1]);
}

function tokenHashes(text: string): Uint32Array {
  // No text has more tokens than code units; a view of what was used leaves the rest to the collector.
  const hashes = new Uint32Array(text.length);
  let count = 0;
  let inWord = false;
  let hash = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (isWord(code)) {
      hash = Math.imul((inWord ? hash : 0x811c9dc5) ^ code, 0x01000193);
      inWord = true;
      continue;
    }
    if (inWord) hashes[count++] = hash;
    inWord = false;
    if (code > 32 && code !== 0xa0) hashes[count++] = Math.imul(0x811c9dc5 ^ code, 0x01000193);
  }
  if (inWord) hashes[count++] = hash;
  return hashes.subarray(0, count);
}

/** Letters, digits and underscore; from U+2E80 on, scripts without spaces begin. */
function isWord(code: number): boolean {
  if (code >= 0x80) return code < 0x2e80 && code !== 0xa0;
  return (
    (code >= 97 && code <= 122) || (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || code === 95
  );
}

/** murmur3's last step: every bit depends on every other. */
function mixed(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
