/** Text, score, and kind as sentencepiece_model.proto numbers it. */
export type SentencePiece = [text: string, score: number, kind: number];

export interface SentencePieceOptions {
  /** 2 is BPE. */
  type?: number;
  collapse?: boolean;
  /** A normalizer's rules. */
  rules?: string;
}

/** A protocol buffer field: a number, or bytes. */
function field(number: number, value: number | Uint8Array): Buffer {
  const varint = (n: number): number[] => (n < 128 ? [n] : [(n % 128) + 128, ...varint(Math.floor(n / 128))]);
  return typeof value === 'number'
    ? Buffer.from([...varint(number * 8), ...varint(value)])
    : Buffer.concat([Buffer.from([...varint(number * 8 + 2), ...varint(value.length)]), value]);
}

/** A tokenizer.model as SentencePiece writes it, BOS 1 and EOS 2. Shares no code with server/. */
export function sentencePieceFile(
  pieces: readonly SentencePiece[],
  options: SentencePieceOptions = {},
): Buffer {
  const all = pieces.map(([text, score, kind]) => {
    const float = Buffer.alloc(5);
    float[0] = 2 * 8 + 5;
    float.writeFloatLE(score, 1);
    return field(1, Buffer.concat([field(1, Buffer.from(text)), float, field(3, kind)]));
  });
  const trainer = [field(3, options.type ?? 2), field(35, 1), field(41, 1), field(42, 2)];
  const normalizer = [
    field(1, Buffer.from('identity')),
    field(2, Buffer.from(options.rules ?? '')),
    field(4, options.collapse === true ? 1 : 0),
  ];
  return Buffer.concat([...all, field(2, Buffer.concat(trainer)), field(3, Buffer.concat(normalizer))]);
}
