import { OneBitError } from '../../protocol/error.ts';
import { addsBos, isListOf, specialId, type GgufVocabulary } from './gguf-vocabulary.ts';

/** Fields of sentencepiece_model.proto. */
const fieldOf = { pieces: 1, trainer: 2, normalizer: 3, modelType: 3, bosId: 41, eosId: 42 } as const;
const bytePairs = 2;

/**
 * The tokenizer.model that a GGUF file's pieces and scores (`tokenizer.ggml.model` = llama) were taken from, as far as
 * a reader of it needs: a protocol buffer with pieces, trainer_spec and normalizer_spec.
 * @throws bad-file (scores that do not fit the tokens)
 */
export function sentencePieceBytes(vocabulary: GgufVocabulary, path: string): Uint8Array {
  const { tokens, types, value } = vocabulary;
  const scores = value('scores');
  if (!isListOf(scores, 'number') || scores.length !== tokens.length) {
    throw new OneBitError(
      'bad-file',
      `${path}: tokenizer.ggml.scores does not fit the ${tokens.length} tokens.`,
    );
  }
  const bos = addsBos(vocabulary) ? specialId(vocabulary, 'bos') : undefined;
  const pieces = tokens.map((token, id) =>
    message(fieldOf.pieces, [
      message(1, [Buffer.from(token)]),
      tagged(2, 5, [float(scores[id] as number)]),
      tagged(3, 0, [varint(types[id] as number)]),
    ]),
  );
  return Buffer.concat([
    ...pieces,
    message(fieldOf.trainer, [
      tagged(fieldOf.modelType, 0, [varint(bytePairs)]),
      tagged(fieldOf.bosId, 0, [varint(bos ?? -1)]),
      tagged(fieldOf.eosId, 0, [varint(specialId(vocabulary, 'eos') ?? -1)]),
    ]),
    message(fieldOf.normalizer, [
      tagged(3, 0, [varint(value('add_space_prefix') === false ? 0 : 1)]),
      tagged(4, 0, [varint(value('remove_extra_whitespaces') === true ? 1 : 0)]),
    ]),
  ]);
}

/** A field of bytes with its length: a text, or a message of fields. */
function message(field: number, parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  return tagged(field, 2, [varint(body.length), body]);
}

function tagged(field: number, wire: number, parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat([varint((field << 3) | wire), ...parts]);
}

/** Negative numbers take ten bytes, as 64-bit two's complement. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  let left = BigInt.asUintN(64, BigInt(Math.trunc(value)));
  for (; left >= 0x80n; left >>= 7n) bytes.push(Number(left & 0x7fn) | 0x80);
  bytes.push(Number(left));
  return Buffer.from(bytes);
}

function float(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}
