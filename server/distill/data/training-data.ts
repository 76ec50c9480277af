import { OneBitError } from '../../protocol/error.ts';
import type { OnProgress } from '../../protocol/progress.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { readCorpus, splitHeldOut } from './corpus.ts';
import type { Document } from './document.ts';
import type { InfillSplit } from './infill-transform.ts';
import { hashText } from '../random.ts';
import { plainWindows, WindowStream } from './windows.ts';

export interface DataOptions {
  /** Files or folders of text, code, .jsonl(.gz) or .parquet. */
  data: string[];
  /** Column or field of the text in .jsonl(.gz) and .parquet; default: `text`, else `content` or `code`. */
  textColumn?: string;
  /** Held-out files of their own; without them `heldOutShare` of the data is set aside by file. */
  heldOut: string[];
  heldOutShare: number;
  /** Windows that perplexity is measured on, at most. */
  heldOutWindows: number;
  window: number;
  seed: number;
  /** Share of pieces rearranged for infilling; undefined: half where the tokenizer has the tokens. */
  infillRate: number | undefined;
  infillSplit: InfillSplit;
}

export interface TrainingData {
  windows: WindowStream;
  /** Plain windows of held-out text. */
  heldOut: Int32Array[];
  infillRate: number;
  /** For the record of how a model was made. */
  facts: { paths: string[]; documents: number; characters: number; heldOutDocuments: number };
  /** Changes when the text changes. */
  fingerprint: number;
}

/** Reads and splits the data of a run. Throws what readCorpus throws, and bad-value when too little is there. */
export async function openTrainingData(
  options: DataOptions,
  tokenizer: Tokenizer,
  context: { signal?: AbortSignal; onProgress?: OnProgress },
): Promise<TrainingData> {
  const reading = { ...context, textColumn: options.textColumn };
  const corpus = await readCorpus(options.data, reading);
  let train: Document[];
  let heldOut: Document[];
  if (options.heldOut.length > 0) {
    train = corpus.documents;
    heldOut = (await readCorpus(options.heldOut, reading)).documents;
  } else {
    ({ train, heldOut } = splitHeldOut(corpus.documents, options.heldOutShare, options.seed));
  }
  const infillRate = options.infillRate ?? (tokenizer.infill === undefined ? 0 : 0.5);
  const windows = new WindowStream(train, tokenizer, {
    window: options.window,
    seed: options.seed,
    infillRate,
    infillSplit: options.infillSplit,
  });
  const heldOutWindows = plainWindows(heldOut, tokenizer, options.window, options.heldOutWindows);
  if (heldOutWindows.length === 0) {
    throw new OneBitError(
      'bad-value',
      'The held-out text is empty: give more data, or other held-out files.',
    );
  }
  return {
    windows,
    heldOut: heldOutWindows,
    infillRate,
    facts: {
      paths: options.data,
      documents: train.length,
      characters: train.reduce((sum, document) => sum + document.text.length, 0),
      heldOutDocuments: heldOut.length,
    },
    fingerprint: train.reduce(
      (hash, { path, text }) => (hash * 31 + hashText(path) + hashText(text)) >>> 0,
      7,
    ),
  };
}
