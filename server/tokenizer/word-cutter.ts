import {
  ByteLevelPreTokenizer,
  SequencePreTokenizer,
  SplitPreTokenizer,
  type PreTokenizer,
  type Tokenizer as HfParts,
} from '@huggingface/tokenizers';

/** A token that stands in texts by its name, as tokenizer.json has it in `added_tokens`. */
export interface NamedToken {
  id: number;
  content: string;
  lstrip?: unknown;
  rstrip?: unknown;
  normalized?: unknown;
}

/** Cuts a piece of text; `section` counts the parts of the whole text between named tokens. */
type Stage = (text: string, section: number) => Iterable<string>;

/**
 * What a tokenizer.json does with a text before byte-pair encoding: finds named tokens, normalizes what is between
 * them, and cuts it into words. The rules are those of `@huggingface/tokenizers`; here words come one by one, so that
 * a long text can be left in the middle, and bytes stay bytes.
 */
export class WordCutter {
  /** Whether words are to be merged as UTF-8 bytes. */
  readonly bytes: boolean;
  readonly #parts: HfParts;
  readonly #stages: Stage[];
  readonly #before: NameFinder;
  readonly #after: NameFinder;

  /** @param named tokens that are found in texts */
  constructor(parts: HfParts, named: readonly NamedToken[]) {
    this.#parts = parts;
    const { normalizer } = parts;
    const isNormalized = (token: NamedToken): boolean => token.normalized === true && normalizer !== null;
    this.#before = new NameFinder(named.filter((token) => !isNormalized(token)));
    this.#after = new NameFinder(
      named
        .filter(isNormalized)
        .map((token) => ({ ...token, content: normalizer?.normalize(token.content) ?? token.content })),
    );
    const stages = stagesOf(parts.pre_tokenizer);
    const last = stages.at(-1);
    this.bytes =
      last instanceof ByteLevelPreTokenizer &&
      stages.every((stage) => stage === last || !(stage instanceof ByteLevelPreTokenizer));
    this.#stages = stages.map((stage) => cuttingOf(stage, this.bytes)).filter((stage) => stage !== undefined);
  }

  /** The text's words in order, and the ids of the named tokens between them. */
  *cut(text: string): Generator<string | number> {
    const sections = this.#before.split(text);
    for (const [section, part] of sections.entries()) {
      if (typeof part === 'number') {
        yield part;
        continue;
      }
      const normal = part === '' ? part : (this.#parts.normalizer?.normalize(part) ?? part);
      for (const inner of this.#after.split(normal)) {
        if (typeof inner === 'number') yield inner;
        else if (inner !== '') yield* this.#words(inner, section, 0);
      }
    }
  }

  #words(text: string, section: number, stage: number): Iterable<string> {
    const cutting = this.#stages[stage];
    if (cutting === undefined) return [text];
    const pieces = cutting(text, section);
    return stage + 1 === this.#stages.length ? pieces : this.#cutAll(pieces, section, stage + 1);
  }

  *#cutAll(pieces: Iterable<string>, section: number, stage: number): Generator<string> {
    for (const piece of pieces) yield* this.#words(piece, section, stage);
  }
}

function stagesOf(component: PreTokenizer | null): PreTokenizer[] {
  if (component === null) return [];
  return component instanceof SequencePreTokenizer
    ? component.tokenizers.flatMap((each) => stagesOf(each))
    : [component];
}

/** @returns undefined for a stage that changes nothing but bytes to characters */
function cuttingOf(stage: PreTokenizer, bytes: boolean): Stage | undefined {
  if (stage instanceof ByteLevelPreTokenizer && bytes) {
    const { add_prefix_space: spaced, use_regex: cuts, pattern } = stage;
    if (!spaced && !cuts) return undefined;
    return (text) => {
      const full = spaced && !text.startsWith(' ') ? ` ${text}` : text;
      return cuts ? matches(full, pattern, false) : [full];
    };
  }
  if (stage instanceof SplitPreTokenizer && stage.pattern !== null) {
    const { pattern } = stage;
    const { invert, behavior } = stage.config;
    if (invert) return (text) => matches(text, pattern, false);
    if (behavior?.toLowerCase() !== 'removed') return (text) => matches(text, pattern, true);
  }
  return (text, section) => stage.pre_tokenize_text(text, { section_index: section });
}

/** What the pattern finds, and with `between` also what is between. */
function* matches(text: string, pattern: RegExp, between: boolean): Generator<string> {
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    const [found] = match;
    if (between && end < match.index) yield text.slice(end, match.index);
    if (found !== '') yield found;
    end = match.index + found.length;
  }
  if (between && end < text.length) yield text.slice(end);
}

/** Finds tokens by their names; where several fit, the longest. */
class NameFinder {
  readonly #named: ReadonlyMap<string, NamedToken>;
  readonly #pattern: RegExp | undefined;

  constructor(named: readonly NamedToken[]) {
    this.#named = new Map(named.map((token) => [token.content, token]));
    const longestFirst = [...this.#named.keys()].sort((a, b) => b.length - a.length);
    const escaped = longestFirst.map((name) => name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
    this.#pattern = escaped.length === 0 ? undefined : new RegExp(`(${escaped.join('|')})`, 'u');
  }

  /** The text between names, and the ids of these, by turns. */
  split(text: string): (string | number)[] {
    if (this.#pattern === undefined) return [text];
    const parts = text.split(this.#pattern);
    for (let i = 1; i < parts.length; i += 2) {
      const token = this.#named.get(parts[i] as string);
      if (token?.lstrip === true) parts[i - 1] = parts[i - 1]?.trimEnd() ?? '';
      if (token?.rstrip === true) parts[i + 1] = parts[i + 1]?.trimStart() ?? '';
    }
    return parts.map((part, i) => (i % 2 === 1 ? (this.#named.get(part)?.id ?? part) : part));
  }
}
