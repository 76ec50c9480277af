/** Fill-in-the-middle tokens; a prompt is `prefix` P `suffix` S `middle`. */
export interface InfillTokens {
  prefix: number;
  suffix: number;
  middle: number;
}

/** Decodes a stream of tokens; bytes of an unfinished UTF-8 character wait for the next token. */
export interface StreamDecoder {
  push(id: number): string;
  /** What still waits, with U+FFFD for what is not a character. */
  end(): string;
}

export interface Tokenizer {
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  readonly eosIds: readonly number[];
  readonly infill: InfillTokens | undefined;
  /** Special tokens in the text are not parsed. `bos` puts the BOS token first where the model has one. */
  encode(text: string, options?: { bos?: boolean }): number[];
  /** Special tokens are left out. */
  decode(ids: readonly number[]): string;
  /** One token's text for lists and logs; special tokens by name. */
  tokenText(id: number): string;
  stream(): StreamDecoder;
}
