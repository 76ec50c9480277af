import { readFile, stat } from 'node:fs/promises';
import { asOneBitError, OneBitError } from '../protocol/error.ts';
import { maxPieceBytes, SentencePieceTokenizer, type Piece } from './sentencepiece-tokenizer.ts';
import type { Tokenizer } from './tokenizer.ts';

const maxBytes = 100 << 20;

/**
 * Reads llama2.c's tokenizer.bin: int32 longest piece, then for each token f32 score, int32 length and its
 * text. Token 0 is unknown, 1 BOS, 2 EOS, 3 to 258 the bytes; a text ends at EOS or at the next text's BOS.
 * @throws not-found, unreadable, bad-file
 */
export async function readLlama2cTokenizer(path: string): Promise<Tokenizer> {
  const malformed = (what: string) =>
    new OneBitError('bad-file', `${path}: ${what}; it is no llama2.c tokenizer, or it was cut short.`);
  let file: Buffer;
  try {
    if ((await stat(path)).size > maxBytes) throw malformed('it is too large');
    file = await readFile(path);
  } catch (caught) {
    throw asOneBitError(caught, path);
  }
  if (file.length < 4) throw malformed('it has no header');
  const longest = file.readInt32LE(0);
  if (longest < 1 || longest > maxPieceBytes) throw malformed(`its longest piece is ${longest}`);
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const pieces: Piece[] = [];
  for (let at = 4; at < file.length;) {
    const id = pieces.length;
    if (at + 8 > file.length) throw malformed(`token ${id} has no length`);
    const score = file.readFloatLE(at);
    const length = file.readInt32LE(at + 4);
    at += 8;
    // llama2.c pads its vocabulary with empty pieces.
    if (length < 0 || length > longest || at + length > file.length) {
      throw malformed(`token ${id} has a length of ${length}`);
    }
    if (!Number.isFinite(score)) throw malformed(`token ${id} has the score ${score}`);
    let text: string;
    try {
      text = decoder.decode(file.subarray(at, at + length));
    } catch {
      throw malformed(`token ${id} is not UTF-8`);
    }
    at += length;
    pieces.push({
      text,
      score,
      kind: id === 0 ? 'unknown' : id < 3 ? 'control' : id < 259 ? 'byte' : 'normal',
    });
  }
  if (pieces.length < 259) throw malformed(`it has ${pieces.length} tokens, fewer than the 259 fixed ones`);
  return new SentencePieceTokenizer({
    pieces,
    dummyPrefix: true,
    collapseSpaces: false,
    bosId: 1,
    eosIds: [2, 1],
    unknownId: 0,
  });
}
