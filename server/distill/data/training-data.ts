import { OneBitError } from '../../protocol/error.ts';
import type { OnProgress } from '../../protocol/progress.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { readCorpus, splitHeldOut, type Corpus } from './corpus.ts';
import type { Document } from './document.ts';
import { dropDuplicates, withoutTrainingText, type DuplicateKind } from './drop-duplicates.ts';
import type { InfillSplit } from './infill-transform.ts';
import { hashText } from '../random.ts';
import { plainWindows, WindowStream } from './windows.ts';

export interface DataOptions {
  /** Files or folders of text, code, .jsonl(.gz) or .parquet. */
  data: string[];
  /** Column or field of the text in .jsonl(.gz) and .parquet; default: `text`, else `content` or `code`. */
  textColumn?: string;
  /**
   * Which duplicates are dropped, of the training documents and of the held-out ones that resemble one of
   * them. `auto` (default): near duplicates, but all rows of data sets and all named files are kept for
   * training, as whoever made them knows why they are there. `off`: nothing is dropped.
   */
  deduplication?: Deduplication;
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

export type Deduplication = 'auto' | DuplicateKind | 'off';

/** Documents that were dropped. */
export interface DroppedDocuments {
  exact: number;
  near: number;
  /** Held-out documents that are duplicates of training documents. */
  heldOut: number;
}

export interface TrainingData {
  windows: WindowStream;
  /** Plain windows of held-out text. */
  heldOut: Int32Array[];
  infillRate: number;
  /** For the record of how a model was made. */
  facts: {
    paths: string[];
    documents: number;
    characters: number;
    heldOutDocuments: number;
    dropped: DroppedDocuments;
  };
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
  const own = options.heldOut.length > 0 ? await readCorpus(options.heldOut, reading) : undefined;
  const { train, heldOut, dropped } = await splitWithoutDuplicates(corpus, own?.documents, options, context);
  const skipped = corpus.skipped + (own?.skipped ?? 0);
  context.onProgress?.({
    phase: 'read data',
    done: train.length + heldOut.length,
    total: train.length + heldOut.length,
    unit: 'files',
    message: reportOf(dropped, skipped, corpus.firstSkipped ?? own?.firstSkipped),
  });
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
      dropped,
    },
    fingerprint: train.reduce(
      (hash, { path, text }) => (hash * 31 + hashText(path) + hashText(text)) >>> 0,
      7,
    ),
  };
}

/** @param ownHeldOut held-out documents of their own; without them a share of the corpus is set aside */
async function splitWithoutDuplicates(
  corpus: Corpus,
  ownHeldOut: Document[] | undefined,
  { deduplication = 'auto', heldOutShare, seed }: DataOptions,
  context: { signal?: AbortSignal; onProgress?: OnProgress },
): Promise<{ train: Document[]; heldOut: Document[]; dropped: DroppedDocuments }> {
  const kind = deduplication === 'auto' ? 'near' : deduplication;
  let { documents } = corpus;
  const dropped: DroppedDocuments = { exact: 0, near: 0, heldOut: 0 };
  if (kind !== 'off') {
    const isLooked = (document: Document): boolean =>
      deduplication !== 'auto' || corpus.fromFolders.has(document);
    const looked = documents.filter(isLooked);
    const { kept, exact, near } = await dropDuplicates(looked, kind, seed, context);
    if (kept.length < looked.length) {
      const keep = new Set(kept);
      documents = documents.filter((document) => !isLooked(document) || keep.has(document));
    }
    Object.assign(dropped, { exact, near });
  }
  const isOneText = new Set(documents.map(({ path }) => path)).size === 1;
  const { train, heldOut } =
    ownHeldOut === undefined
      ? splitHeldOut(documents, heldOutShare, seed)
      : { train: documents, heldOut: ownHeldOut };
  // The two parts of a single text may well resemble each other: there is nothing else to measure on.
  if (kind === 'off' || (isOneText && ownHeldOut === undefined)) return { train, heldOut, dropped };
  const honest = await withoutTrainingText(heldOut, train, kind, seed, context);
  if (honest.length === 0 && heldOut.length > 0) {
    throw new OneBitError(
      'bad-value',
      `Each of the ${heldOut.length} held-out documents is a duplicate of training text, so perplexity on them ` +
        'would say nothing: give other held-out files (--held-out), or keep them with --dedup off.',
    );
  }
  return { train, heldOut: honest, dropped: { ...dropped, heldOut: heldOut.length - honest.length } };
}

/** What a user should know of the data that were not used. */
function reportOf(
  { exact, near, heldOut }: DroppedDocuments,
  skipped: number,
  firstSkipped: string | undefined,
): string {
  const counts = [
    ...(exact > 0 ? [`${exact} exact`] : []),
    ...(near > 0 ? [`${near} near`] : []),
    ...(heldOut > 0 ? [`${heldOut} of training text in the held-out text`] : []),
  ];
  return [
    ...(counts.length > 0 ? [`duplicates dropped: ${counts.join(', ')}`] : []),
    ...(skipped > 0 ? [`files passed over: ${skipped}, the first because ${firstSkipped}`] : []),
  ].join('; ');
}
