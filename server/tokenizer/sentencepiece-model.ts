import { readFile, stat } from 'node:fs/promises';
import { asOneBitError, OneBitError } from '../protocol/error.ts';
import {
  maxPieceBytes,
  SentencePieceTokenizer,
  type Piece,
  type PieceKind,
} from './sentencepiece-tokenizer.ts';
import type { Tokenizer } from './tokenizer.ts';

const maxBytes = 100 << 20;

/** SentencePiece.Type of sentencepiece_model.proto. */
const kinds: Readonly<Record<number, PieceKind>> = {
  1: 'normal',
  2: 'unknown',
  3: 'control',
  4: 'user-defined',
  5: 'unused',
  6: 'byte',
};

/**
 * Reads a SentencePiece tokenizer.model of the BPE kind, which all LLaMA models have: a protocol buffer
 * with pieces (field 1), trainer_spec (2) and normalizer_spec (3) of sentencepiece_model.proto.
 * @throws not-found, unreadable, bad-file, unsupported (Unigram, or a normalizer that changes characters)
 */
export async function readSentencePieceModel(path: string): Promise<Tokenizer> {
  let file: Buffer;
  try {
    if ((await stat(path)).size > maxBytes) throw new OneBitError('bad-file', `${path} is too large.`);
    file = await readFile(path);
  } catch (caught) {
    throw asOneBitError(caught, path);
  }
  return sentencePieceModelOf(file, path);
}

/** The same of a file's bytes. @throws bad-file, unsupported */
export function sentencePieceModelOf(file: Uint8Array, path: string): Tokenizer {
  const pieces: Piece[] = [];
  let modelType = 1;
  let bosId = 1;
  let eosId = 2;
  let dummyPrefix = true;
  let collapseSpaces = true;
  let rules = 0;
  try {
    for (const [field, value] of fields(file)) {
      if (field === 1 && value instanceof Uint8Array) pieces.push(readPiece(value));
      if (field === 2 && value instanceof Uint8Array) {
        for (const [inner, setting] of fields(value)) {
          if (inner === 3) modelType = Number(setting);
          if (inner === 41) bosId = Number(setting) | 0;
          if (inner === 42) eosId = Number(setting) | 0;
        }
      }
      if (field === 3 && value instanceof Uint8Array) {
        for (const [inner, setting] of fields(value)) {
          if (inner === 2 && setting instanceof Uint8Array) rules = setting.length;
          if (inner === 3) dummyPrefix = setting !== 0;
          if (inner === 4) collapseSpaces = setting !== 0;
        }
      }
    }
  } catch (caught) {
    throw new OneBitError(
      'bad-file',
      `${path} is no SentencePiece model, or it was cut short; copy or download it again.`,
      { cause: caught },
    );
  }
  if (pieces.length === 0) throw new OneBitError('bad-file', `${path} holds no pieces.`);
  const refuse = (what: string) =>
    new OneBitError(
      'unsupported',
      `${path}: ${what}; convert it to a tokenizer.json and put that beside it.`,
    );
  if (modelType !== 2) throw refuse('it is a Unigram, word or character model, and LLaMA models use BPE');
  if (rules > 0) throw refuse('its normalizer changes the text, which is not supported');
  const idOf = (kind: PieceKind) => {
    const id = pieces.findIndex((piece) => piece.kind === kind);
    return id === -1 ? undefined : id;
  };
  return new SentencePieceTokenizer({
    pieces,
    dummyPrefix,
    collapseSpaces,
    bosId: bosId >= 0 && bosId < pieces.length ? bosId : undefined,
    eosIds: eosId >= 0 && eosId < pieces.length ? [eosId] : [],
    unknownId: idOf('unknown'),
  });
}

function readPiece(bytes: Uint8Array): Piece {
  let text = '';
  let score = 0;
  let kind: PieceKind = 'normal';
  for (const [field, value] of fields(bytes)) {
    if (field === 1 && value instanceof Uint8Array) {
      if (value.length > maxPieceBytes) throw new RangeError('a piece is too long');
      text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(value).replaceAll('▁', ' ');
    }
    if (field === 2 && value instanceof Uint8Array) {
      score = new DataView(value.buffer, value.byteOffset, 4).getFloat32(0, true);
    }
    if (field === 3) kind = kinds[Number(value)] ?? 'unused';
  }
  if (!Number.isFinite(score)) throw new RangeError('a score is not finite');
  return { text, score, kind };
}

/** The fields of a protocol buffer message: numbers for varints, bytes for the rest. */
function* fields(message: Uint8Array): Generator<[number, number | Uint8Array]> {
  let at = 0;
  const varint = (): number => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = message[at++];
      if (byte === undefined) throw new RangeError('cut short');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(BigInt.asIntN(64, value));
    }
    throw new RangeError('a number is too long');
  };
  while (at < message.length) {
    const tag = varint();
    const wire = tag & 7;
    if (wire === 0) {
      yield [tag >>> 3, varint()];
      continue;
    }
    const length = wire === 1 ? 8 : wire === 5 ? 4 : wire === 2 ? varint() : -1;
    if (length < 0 || at + length > message.length) throw new RangeError('cut short');
    yield [tag >>> 3, message.subarray(at, at + length)];
    at += length;
  }
}
