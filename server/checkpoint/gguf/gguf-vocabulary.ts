import { OneBitError } from '../../protocol/error.ts';
import type { GgufValue } from './gguf-header.ts';

/** The token lists of a GGUF file's metadata; all of one length. */
export interface GgufVocabulary {
  tokens: readonly string[];
  /** As SentencePiece numbers them: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. */
  types: readonly number[];
  /** `tokenizer.ggml.NAME` of the metadata. */
  value(name: string): GgufValue | undefined;
}

/** Kinds of `tokenizer.ggml.token_type`. */
export const tokenTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, byte: 6 } as const;

/**
 * @param value `tokenizer.ggml.NAME` of the metadata
 * @throws bad-file naming the entry
 */
export function vocabularyOf(value: GgufVocabulary['value'], path: string): GgufVocabulary {
  const tokens = value('tokens');
  if (!isListOf(tokens, 'string') || tokens.length === 0) {
    throw new OneBitError('bad-file', `${path}: tokenizer.ggml.tokens is no list of texts.`);
  }
  const types = value('token_type') ?? tokens.map(() => tokenTypes.normal);
  if (!isListOf(types, 'number') || types.length !== tokens.length) {
    throw new OneBitError(
      'bad-file',
      `${path}: tokenizer.ggml.token_type does not fit the ${tokens.length} tokens.`,
    );
  }
  return { tokens, types, value };
}

/** Whether the metadata's value is a list of such elements. */
export function isListOf(value: GgufValue | undefined, kind: 'string'): value is string[];
export function isListOf(value: GgufValue | undefined, kind: 'number'): value is number[];
export function isListOf(value: GgufValue | undefined, kind: 'string' | 'number'): boolean {
  return Array.isArray(value) && value.every((each) => typeof each === kind);
}

/** The id that the metadata gives for a special token, if it is one of the vocabulary. */
export function specialId({ value, tokens }: GgufVocabulary, name: string): number | undefined {
  const id = value(`${name}_token_id`);
  return typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < tokens.length ? id : undefined;
}

/** Whether a text begins with BOS; llama.cpp's own rule where the metadata says nothing. */
export function addsBos({ value }: GgufVocabulary): boolean {
  const said = value('add_bos_token');
  return typeof said === 'boolean' ? said : value('model') === 'llama' || value('pre') === 'llama-bpe';
}
