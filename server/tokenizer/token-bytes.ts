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
/** Bytes that are decoded in one call; a call a token takes ten times as long. */
const gatheredBytes = 4096;

export function decodeTokens(table: TokenBytes, ids: readonly number[], continuation: boolean): string {
  const decoder = newDecoder();
  const gathered = new Uint8Array(gatheredBytes);
  let dropSpace = table.leadingSpace && !continuation;
  let length = 0;
  let text = '';
  for (const id of ids) {
    let bytes = table.bytes[id];
    if (bytes === undefined || bytes.length === 0) continue;
    if (dropSpace && bytes[0] === space) bytes = bytes.subarray(1);
    dropSpace = false;
    if (length + bytes.length > gatheredBytes) {
      text += decoder.decode(gathered.subarray(0, length), { stream: true });
      length = 0;
    }
    if (bytes.length > gatheredBytes) text += decoder.decode(bytes, { stream: true });
    else {
      gathered.set(bytes, length);
      length += bytes.length;
    }
  }
  return text + decoder.decode(gathered.subarray(0, length));
}

function newDecoder(): TextDecoder {
  return new TextDecoder('utf-8', { ignoreBOM: true });
}

export function streamTokens(table: TokenBytes, continuation: boolean): StreamDecoder {
  const decoder = newDecoder();
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

/** The name of a SentencePiece byte token. */
export function bytePiece(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
}

/** The UTF-8 bytes of a character; half of a surrogate pair is U+FFFD, as everywhere. */
export function bytesOfCharacter(codePoint: number): readonly number[] {
  if (codePoint < 0x80) return [codePoint];
  const tail = (shift: number): number => 0x80 | ((codePoint >> shift) & 0x3f);
  if (codePoint < 0x800) return [0xc0 | (codePoint >> 6), tail(0)];
  if (codePoint >= 0xd800 && codePoint < 0xe000) return [0xef, 0xbf, 0xbd];
  if (codePoint < 0x10000) return [0xe0 | (codePoint >> 12), tail(6), tail(0)];
  return [0xf0 | (codePoint >> 18), tail(12), tail(6), tail(0)];
}
