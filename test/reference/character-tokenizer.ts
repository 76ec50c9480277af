import type { Tokenizer } from '../../server/tokenizer/tokenizer.ts';

const codes = (text: string): number[] =>
  Array.from({ length: text.length }, (_, i) => text.charCodeAt(i) + 10);

/** One token a UTF-16 code unit (its code + 10), end token 0, infilling tokens 1, 2, 3. */
export const characterTokenizer: Tokenizer = {
  vocabSize: 65546,
  bosId: undefined,
  eosIds: [0],
  infill: { prefix: 1, suffix: 2, middle: 3 },
  encode: codes,
  *encoding(text) {
    return codes(text);
  },
  decode: (ids) => String.fromCharCode(...ids.filter((id) => id >= 10).map((id) => id - 10)),
  special: new Map(),
  tokenText: (id) => String.fromCharCode(id - 10),
  tokenBytes: (id) => new TextEncoder().encode(String.fromCharCode(id - 10)),
  stream: () => {
    throw new Error('not used here');
  },
};
