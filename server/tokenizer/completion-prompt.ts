import type { Tokenizer } from './tokenizer.ts';

/** The text around the gap. */
export interface Gap {
  /**
   * Snippets of other files, put before the prefix: a quarter of the room is theirs (of a small context none), more
   * where prefix and suffix leave it. The most useful first; what does not fit whole is left out.
   */
  extra: readonly { path: string; text: string }[];
  /** The file of the gap, for models that were taught to see several files. */
  path?: string;
  prefix: string;
  /** What follows the gap. Undefined: nothing is known of it, the prefix is to be continued. */
  suffix: string | undefined;
  /** What of the gap is written already: it stands after the middle token, so that the suffix before it stays in the KV cache while a line is typed. */
  begun?: string;
}

type Encoding = Generator<undefined, number[]>;

export interface Prompt {
  ids: number[];
  /**
   * Spaces that stand before the cursor and were left out: tokens mostly begin with their space, so that a prompt
   * that ends in one asks for a word that the model has rarely seen go on there. The answer gives them again;
   * `LeadSkipper` takes them off.
   */
  lead: string;
  /** Whether the suffix is in it. */
  infilled: boolean;
  /** Tokens that may be generated. */
  maxTokens: number;
  /** Tokens that end the text besides the model's own: what belongs to the next part of a prompt. */
  stopIds: number[];
}

/** More than any tokenizer packs into a token on average: text beyond this many characters a token is not even encoded. */
const charactersPerToken = 12;
/** The share of the room from which what is cut off grows in whole steps. */
const cutSteps = 8;
/**
 * With less room than this the file itself is worth more than others: snippets get what prefix and suffix leave. With
 * the starter's 512 positions a guaranteed quarter for them brought nothing that could be measured.
 */
const roomForOthers = 768;
/** So many times the room's text is looked at for snippets that fit. */
const triedExtra = 4;
/** The tokens of the line that is being typed take room in such steps. */
const begunStep = 32;

/**
 * The prompt for a gap, without the spaces right before it (`lead`): `extra prefix-token P suffix-token S middle-token
 * begun` where there is a suffix and the tokenizer has these tokens, otherwise extra, prefix and begun alone. Half of
 * the context at most is kept free for the answer. What does not fit is dropped far from the gap: the suffix's end
 * and the extra snippets (a quarter of the room each), then the prefix's start. What stays the same from keystroke to
 * keystroke comes first, and every limit moves in steps, so that the next prompt mostly begins with the same
 * tokens and finds them in the KV cache.
 * It halts as `Tokenizer.encoding` does.
 * @param contextLength tokens of prompt and answer together
 */
export function* buildingPrompt(
  tokenizer: Tokenizer,
  gap: Gap,
  maxTokens: number,
  contextLength: number,
): Generator<undefined, Prompt> {
  const infill = gap.suffix === undefined ? undefined : tokenizer.infill;
  const reserved = Math.min(Math.max(maxTokens, 1), Math.floor(contextLength / 2));
  const bos = tokenizer.bosId === undefined ? [] : [tokenizer.bosId];
  const before = infill === undefined ? gap.prefix + (gap.begun ?? '') : gap.prefix;
  const begun = infill === undefined ? '' : (gap.begun ?? '');
  // Indentation stays: it is made of tokens of its own.
  const lead = /(?<=[^\s]) +$/.exec(begun === '' ? before : begun)?.[0] ?? '';
  const begunIds = yield* encodeBegun(
    tokenizer,
    begun.slice(0, begun.length - (begun === '' ? 0 : lead.length)),
    contextLength,
  );
  const prefixText = begun === '' ? before.slice(0, before.length - lead.length) : before;
  const special = bos.length + (infill === undefined ? 0 : 3);
  const room = Math.max(1, contextLength - reserved - special - inSteps(begunIds.length, begunStep));
  const quarter = Math.floor(room / 4);

  // The suffix goes on from the prefix: no tokenizer may put a space of its own before it.
  const fullSuffix =
    infill === undefined
      ? []
      : yield* tokenizer.encoding((gap.suffix ?? '').slice(0, room * charactersPerToken), {
          continuation: true,
        });
  const fullPrefix = yield* encodeEnd(tokenizer, prefixText, room);
  const left = room - inSteps(fullPrefix.length, Math.max(1, Math.floor(room / cutSteps)));
  const forOthers = Math.max(room < roomForOthers ? 0 : quarter, left - fullSuffix.length);
  const extra = yield* encodeExtra(tokenizer, gap, forOthers, infill?.file);
  const suffix = fullSuffix.slice(0, Math.max(quarter, left - extra.length));
  const prefix = keepEnd(fullPrefix, room - suffix.length - extra.length);

  const ids =
    infill === undefined
      ? [...bos, ...extra, ...prefix]
      : [...bos, ...extra, infill.prefix, ...prefix, infill.suffix, ...suffix, infill.middle, ...begunIds];
  // Nothing at all before the gap: a model without BOS knows a beginning by the end of what came before.
  const end = tokenizer.eosIds[0];
  if (ids.length === 0 && end !== undefined) ids.push(end);
  return {
    ids,
    lead,
    infilled: infill !== undefined,
    maxTokens: Math.min(maxTokens, contextLength - ids.length),
    stopIds:
      infill === undefined
        ? []
        : [infill.prefix, infill.suffix, infill.middle, ...(infill.file === undefined ? [] : [infill.file])],
  };
}

/** Takes a prompt's `lead` off the beginning of the answer, however it comes in pieces. */
export class LeadSkipper {
  /** @param left what is still to be taken off */
  constructor(private left: string) {}

  /** What is left of the next piece. */
  push(text: string): string {
    let at = 0;
    while (at < text.length && at < this.left.length && text[at] === this.left[at]) at++;
    this.left = at < text.length ? '' : this.left.slice(at);
    return text.slice(at);
  }
}

/** The ids of at least the last `room` tokens of a text, of all of it if it is not much longer. */
function* encodeEnd(tokenizer: Tokenizer, text: string, room: number): Encoding {
  const most = room * charactersPerToken;
  if (text.length <= most) return yield* tokenizer.encoding(text);
  // From a line's start, and the same line for many keystrokes.
  const step = Math.max(1, Math.floor(most / cutSteps));
  const over = Math.ceil((text.length - most) / step) * step;
  const line = text.indexOf('\n', over);
  return yield* tokenizer.encoding(text.slice(line >= 0 && line < over + step ? line + 1 : over));
}

/** The last ids, at most `room`; what is dropped grows in steps of a part of the room. */
function keepEnd(ids: number[], room: number): number[] {
  if (ids.length <= room) return ids;
  const step = Math.max(1, Math.floor(room / cutSteps));
  return ids.slice(Math.min(ids.length, Math.ceil((ids.length - room) / step) * step));
}

/** What is written of the gap goes on after the middle token; of a line without end, the last part of it. */
function* encodeBegun(tokenizer: Tokenizer, text: string, contextLength: number): Encoding {
  const room = Math.floor(contextLength / 4);
  const ids = yield* tokenizer.encoding(text.slice(-room * charactersPerToken), { continuation: true });
  return ids.slice(-room);
}

/** `count`, rounded up to whole steps. */
function inSteps(count: number, step: number): number {
  return Math.ceil(count / step) * step;
}

/**
 * Whole snippets, as many as fit, each after its path: in a comment, or, for models that know several files, after
 * their token for it, which then stands before the gap's own file too.
 */
function* encodeExtra(
  tokenizer: Tokenizer,
  { extra, path = 'untitled' }: Gap,
  room: number,
  file: number | undefined,
): Encoding {
  const mark = file === undefined ? [] : [file];
  const own =
    file === undefined || extra.length === 0 ? [] : [...mark, ...(yield* tokenizer.encoding(`${path}\n`))];
  const ids: number[] = [];
  let tried = 0;
  for (const snippet of extra) {
    if (snippet.text.length > room * charactersPerToken) continue;
    // Of a client that sends hundreds of files, only the first ones are looked at.
    tried += snippet.text.length;
    if (tried > triedExtra * room * charactersPerToken) break;
    const end = snippet.text.endsWith('\n') ? '' : '\n';
    const text = `${file === undefined ? '// ' : ''}${snippet.path}\n${snippet.text}${end}`;
    const encoded = yield* tokenizer.encoding(text);
    if (ids.length + mark.length + encoded.length + own.length <= room) ids.push(...mark, ...encoded);
  }
  return ids.length === 0 ? [] : [...ids, ...own];
}
