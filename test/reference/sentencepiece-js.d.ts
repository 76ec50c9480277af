/** Google's SentencePiece compiled to WebAssembly: what ours is compared with. */
declare module '@agnai/sentencepiece-js' {
  export class SentencePieceProcessor {
    load(path: string): Promise<void>;
    encodeIds(text: string): Iterable<number>;
  }
}
