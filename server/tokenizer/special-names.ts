import type { Tokenizer } from './tokenizer.ts';

/** Special tokens of a text between two halts. */
const partsBetweenHalts = 1024;
const patterns = new WeakMap<Tokenizer, RegExp | undefined>();

/**
 * Tokens of a text in which the names of special tokens stand for these tokens, as in a rendered chat template or a
 * prompt that the client has put together itself. Every part after a special token begins a text of its own, as
 * Hugging Face's tokenizers and llama.cpp do it. It halts as `Tokenizer.encoding` does.
 */
export function* encodingWithSpecial(tokenizer: Tokenizer, text: string): Generator<undefined, number[]> {
  const pattern = patternOf(tokenizer);
  const parts = pattern === undefined ? [text] : text.split(pattern);
  const [whole = ''] = parts;
  if (parts.length === 1) return yield* tokenizer.encoding(whole);
  const ids: number[] = [];
  for (const [i, part] of parts.entries()) {
    // Every other part is what the pattern has found.
    const id = i % 2 === 1 ? tokenizer.special.get(part) : undefined;
    if (id !== undefined) ids.push(id);
    else if (part !== '') for (const each of yield* tokenizer.encoding(part)) ids.push(each);
    if (i % partsBetweenHalts === 0) yield;
  }
  return ids;
}

/** The text of tokens, special ones by their names: what `encodingWithSpecial` takes. */
export function decodeWithSpecial(tokenizer: Tokenizer, ids: readonly number[]): string {
  const names = new Map([...tokenizer.special].map(([name, id]) => [id, name]));
  let text = '';
  let from = 0;
  for (let i = 0; i <= ids.length; i++) {
    const name = names.get(ids[i] ?? -1);
    if (name === undefined && i < ids.length) continue;
    if (i > from) text += tokenizer.decode(ids.slice(from, i));
    text += name ?? '';
    from = i + 1;
  }
  return text;
}

function patternOf(tokenizer: Tokenizer): RegExp | undefined {
  if (!patterns.has(tokenizer)) {
    const longestFirst = [...tokenizer.special.keys()].sort((a, b) => b.length - a.length);
    const escaped = longestFirst.map((name) => name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
    patterns.set(tokenizer, escaped.length === 0 ? undefined : new RegExp(`(${escaped.join('|')})`, 'u'));
  }
  return patterns.get(tokenizer);
}
