import { findEndTokens, findInfillTokens, isInfillName } from './infill-tokens.ts';
import { finish } from './in-slices.ts';
import { PairMerger, type Merge } from './pair-merger.ts';
import { byteOfPiece, bytesOfCharacter, decodeTokens, streamTokens, type TokenBytes } from './token-bytes.ts';
import type { EncodeOptions, Tokenizer } from './tokenizer.ts';

/** Characters of text between two halts. */
const workBetweenHalts = 1 << 13;

/** UTF-8 bytes of a piece: the ways to make one of two are looked at for each of its characters. */
export const maxPieceBytes = 4096;

export type PieceKind = 'normal' | 'unknown' | 'control' | 'user-defined' | 'byte' | 'unused';

export interface Piece {
  /** With spaces as spaces, not as `▁`. */
  text: string;
  score: number;
  kind: PieceKind;
}

export interface SentencePieceModel {
  pieces: readonly Piece[];
  /** A space goes before every text. */
  dummyPrefix: boolean;
  /** Spaces at both ends are dropped and runs of them become one (`remove_extra_whitespaces`). */
  collapseSpaces: boolean;
  bosId: number | undefined;
  eosIds: readonly number[];
  unknownId: number | undefined;
}

/**
 * SentencePiece's BPE, as tokenizer.model and llama2.c's tokenizer.bin hold it: of all adjacent symbols whose
 * texts together are a piece, the pair with the highest score merges first, the leftmost of equals; what is
 * no piece at the end becomes its UTF-8 bytes.
 */
export class SentencePieceTokenizer implements Tokenizer {
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  readonly eosIds: readonly number[];
  readonly infill;
  readonly special: ReadonlyMap<string, number>;
  readonly #model: SentencePieceModel;
  readonly #table: TokenBytes;
  /** Ids of texts that merging may end in; symbols beyond the vocabulary are characters that only merge. */
  readonly #symbols = new Map<string, number>();
  readonly #merger: PairMerger;
  readonly #byteIds = new Map<number, number>();
  /** Finds user-defined pieces, which are never split; longest first. */
  readonly #userDefined: RegExp | undefined;
  readonly #userIds = new Map<string, number>();

  constructor(model: SentencePieceModel) {
    const { pieces } = model;
    this.#model = model;
    this.vocabSize = pieces.length;
    this.bosId = model.bosId;
    const names = new Map(pieces.map((piece, id) => [piece.text.replaceAll(' ', '▁'), id]));
    const idOf = (name: string) => names.get(name);
    this.infill = findInfillTokens(idOf);
    this.eosIds = findEndTokens(idOf, model.eosIds);
    const special = new Map<string, number>();
    for (const [id, { text, kind }] of pieces.entries()) {
      const name = text.replaceAll(' ', '▁');
      if (kind === 'control' || isInfillName(name)) special.set(name.trim(), id);
    }
    this.special = special;
    const encoder = new TextEncoder();
    const bytes = pieces.map(({ text, kind }, id) => {
      switch (kind) {
        case 'control':
        case 'unknown':
          return undefined;
        case 'byte': {
          const byte = byteOfPiece(text);
          if (byte === undefined) return undefined;
          this.#byteIds.set(byte, id);
          return Uint8Array.of(byte);
        }
        case 'user-defined':
          if (isInfillName(text.replaceAll(' ', '▁'))) return undefined;
          this.#userIds.set(text, id);
          return encoder.encode(text);
        default:
          return encoder.encode(text);
      }
    });
    this.#table = { bytes, leadingSpace: model.dummyPrefix };
    if (this.#userIds.size > 0) {
      const longestFirst = [...this.#userIds.keys()].sort((a, b) => b.length - a.length);
      this.#userDefined = new RegExp(
        `(${longestFirst.map((text) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('|')})`,
        'u',
      );
    }
    for (const [id, piece] of pieces.entries()) {
      if (piece.kind === 'normal' && !this.#symbols.has(piece.text)) this.#symbols.set(piece.text, id);
    }
    this.#merger = new PairMerger(this.#findMerges());
  }

  encode(text: string, options: EncodeOptions = {}): number[] {
    return finish(this.encoding(text, options));
  }

  *encoding(
    text: string,
    { bos = false, continuation = false }: EncodeOptions = {},
  ): Generator<undefined, number[]> {
    const ids: number[] = bos && this.bosId !== undefined ? [this.bosId] : [];
    const kept = this.#model.collapseSpaces ? text.replace(/^ +| +$/g, '').replace(/ {2,}/g, ' ') : text;
    if (kept === '') return ids;
    const full = this.#model.dummyPrefix && !continuation ? ` ${kept}` : kept;
    const parts = this.#userDefined === undefined ? [full] : full.split(this.#userDefined);
    let work = 0;
    for (const part of parts) {
      const userId = this.#userIds.get(part);
      if (userId !== undefined) ids.push(userId);
      else if (part !== '') yield* this.#encodePart(part, ids);
      work += part.length;
      if (work < workBetweenHalts) continue;
      work = 0;
      yield;
    }
    return ids;
  }

  decode(ids: readonly number[], { continuation = false } = {}): string {
    return decodeTokens(this.#table, ids, continuation);
  }

  stream({ continuation = true } = {}) {
    return streamTokens(this.#table, continuation);
  }

  tokenText(id: number): string {
    const bytes = this.#table.bytes[id];
    return bytes === undefined
      ? (this.#model.pieces[id]?.text.trim() ?? `<${id}>`)
      : new TextDecoder().decode(bytes);
  }

  tokenBytes(id: number): Uint8Array {
    return this.#table.bytes[id] ?? new TextEncoder().encode(this.tokenText(id));
  }

  *#encodePart(text: string, ids: number[]): Generator<undefined, void> {
    const symbols = new Int32Array(text.length);
    let length = 0;
    for (const character of text) {
      // An unknown character stands for itself, by its code point.
      symbols[length++] = this.#symbols.get(character) ?? -1 - (character.codePointAt(0) as number);
      if (length % workBetweenHalts === 0) yield;
    }
    const merged = yield* this.#merger.steps(symbols.subarray(0, length));
    for (let i = 0; i < merged.length; i++) {
      const symbol = merged[i] as number;
      if (symbol >= 0 && symbol < this.vocabSize) ids.push(symbol);
      else this.#encodeUnknown(symbol < 0 ? -1 - symbol : this.#charOf(symbol), ids);
      if (i % workBetweenHalts === workBetweenHalts - 1) yield;
    }
  }

  /** A character without a piece: its bytes, or the unknown token where the model has no bytes. */
  #encodeUnknown(codePoint: number, ids: number[]): void {
    const bytes = bytesOfCharacter(codePoint).map((byte) => this.#byteIds.get(byte));
    if (bytes.every((id) => id !== undefined)) ids.push(...bytes);
    else if (this.#model.unknownId !== undefined) ids.push(this.#model.unknownId);
  }

  /** Code points of the symbols beyond the vocabulary. */
  readonly #characters: number[] = [];

  #charOf(symbol: number): number {
    return this.#characters[symbol - this.vocabSize] as number;
  }

  /** Every way to make a piece from two: the parts are pieces, or single characters. */
  #findMerges(): Merge[] {
    const scores = [...new Set(this.#model.pieces.map(({ score }) => score))].sort((a, b) => b - a);
    const rankOf = new Map(scores.map((score, rank) => [score, rank]));
    const merges: Merge[] = [];
    const pieces = [...this.#symbols].filter(([text]) => text.length > 1);
    for (const [text, merged] of pieces) {
      const rank = rankOf.get(this.#model.pieces[merged]?.score as number) as number;
      const characters = Array.from(text);
      for (let i = 1; i < characters.length; i++) {
        const left = this.#part(characters.slice(0, i).join(''), i === 1);
        const right = this.#part(characters.slice(i).join(''), i === characters.length - 1);
        if (left !== undefined && right !== undefined) merges.push({ left, right, merged, rank });
      }
    }
    return merges;
  }

  #part(text: string, isCharacter: boolean): number | undefined {
    let symbol = this.#symbols.get(text);
    if (symbol === undefined && isCharacter) {
      symbol = this.vocabSize + this.#characters.length;
      this.#characters.push(text.codePointAt(0) as number);
      this.#symbols.set(text, symbol);
    }
    return symbol;
  }
}
