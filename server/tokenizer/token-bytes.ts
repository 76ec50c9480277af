import type { StreamDecoder } from './tokenizer.ts';

/**
 * What each token adds to the text, as bytes. Decoding by bytes is the same for whole texts and streams:
 * a character may be spread over several tokens.
 */
export interface TokenBytes {
  /** Undefined for special tokens and for ids without a token. */
  readonly bytes: readonly (Uint8Array | undefined)[];
  /** A text begins with a space that is not its own (SentencePiece's dummy prefix). */
  readonly leadingSpace: boolean;
}

const space = 0x20;

export function decodeTokens(table: TokenBytes, ids: readonly number[], continuation: boolean): string {
  const stream = streamTokens(table, continuation);
  return ids.map((id) => stream.push(id)).join('') + stream.end();
}

export function streamTokens(table: TokenBytes, continuation: boolean): StreamDecoder {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let dropSpace = table.leadingSpace && !continuation;
  return {
    push(id) {
      let bytes = table.bytes[id];
      if (bytes === undefined || bytes.length === 0) return '';
      if (dropSpace && bytes[0] === space) bytes = bytes.subarray(1);
      dropSpace = false;
      return decoder.decode(bytes, { stream: true });
    },
    end: () => decoder.decode(),
  };
}

/** The byte of a SentencePiece byte token such as `<0x0A>`. */
export function byteOfPiece(piece: string): number | undefined {
  const digits = /^<0x([0-9A-Fa-f]{2})>$/.exec(piece)?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 16);
}
