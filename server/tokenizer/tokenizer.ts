/** Fill-in-the-middle tokens; a prompt is `prefix` P `suffix` S `middle`. */
export interface InfillTokens {
  prefix: number;
  suffix: number;
  middle: number;
  /** Begins a file, with its path, where the model was taught to see several. */
  file?: number;
}

/** Decodes a stream of tokens; bytes of an unfinished UTF-8 character wait for the next token. */
export interface StreamDecoder {
  push(id: number): string;
  /** What still waits, with U+FFFD for what is not a character. */
  end(): string;
}

export interface TokenizerOptions {
  /** Takes the fill-in-the-middle tokens even of a model whose files say `"infill": false`. For measurements. */
  forceInfill?: boolean;
}

export interface Tokenizer {
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  readonly eosIds: readonly number[];
  readonly infill: InfillTokens | undefined;
  /** Special tokens by their names: what ends texts, fills in the middle, or marks the turns of a chat. */
  readonly special: ReadonlyMap<string, number>;
  /**
   * Special tokens in the text are not parsed. `bos` puts the BOS token first where the model has one.
   * `continuation`: the text goes on from earlier tokens (the suffix of an infilling prompt), so the space
   * that a SentencePiece model puts before a text is left out.
   */
  encode(text: string, options?: EncodeOptions): number[];
  /** `encode` with halts, for long texts beside other work: see `inSlices`. */
  encoding(text: string, options?: EncodeOptions): Generator<undefined, number[]>;
  /**
   * The text of the tokens, special tokens left out. Without `continuation` the tokens begin a text, and
   * the space that a SentencePiece model put before it is dropped.
   */
  decode(ids: readonly number[], options?: { continuation?: boolean }): string;
  /** One token's text for lists and logs; special tokens by name. */
  tokenText(id: number): string;
  /** What a token adds to the text, in UTF-8 (part of a character, maybe); of special tokens the name. */
  tokenBytes(id: number): Uint8Array;
  /**
   * Decodes tokens as they come. By default they continue a prompt; with `continuation` false they begin a
   * text (a prompt of nothing, or of the BOS token alone), as in `decode`.
   */
  stream(options?: { continuation?: boolean }): StreamDecoder;
}

export interface EncodeOptions {
  bos?: boolean;
  continuation?: boolean;
}
