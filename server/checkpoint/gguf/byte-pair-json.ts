import { OneBitError } from '../../protocol/error.ts';
import { isListOf, tokenTypes, type GgufVocabulary } from './gguf-vocabulary.ts';

/** How a text is cut into words: `tokenizer.ggml.pre` names it, tokenizer.json spells it out. */
interface Cutting {
  /** Patterns whose matches are words, each within the words of the one before. */
  patterns: readonly string[];
  /** The pattern of GPT-2 comes after them. */
  gpt2?: boolean;
  normalizer?: 'NFC';
  /** A word that is a token is not merged. */
  wholeWords?: boolean;
}

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const rest = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const gpt2: Cutting = { patterns: [], gpt2: true };
const digits: Cutting = { patterns: ['\\p{N}'], gpt2: true };
const llama3: Cutting = {
  patterns: [`${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|${rest}`],
  wholeWords: true,
};
const qwen2: Cutting = {
  patterns: [`${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|${rest}`],
  normalizer: 'NFC',
};
const deepseekCoder: Cutting = {
  patterns: ['[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', '[一-龥ࠀ-一가-퟿]+', '\\p{N}'],
};

/** By the names that llama.cpp gives the rules of the models' own tokenizers. */
const cuttings: Readonly<Record<string, Cutting>> = {
  'gpt-2': gpt2,
  gpt2,
  starcoder: digits,
  smollm: digits,
  refact: digits,
  codeshell: digits,
  'llama-bpe': llama3,
  llama3,
  'llama-v3': llama3,
  qwen2,
  'deepseek-r1-qwen': qwen2,
  'deepseek-coder': deepseekCoder,
};

/**
 * What tokenizer.json says of a GGUF file's byte-pair encoding (`tokenizer.ggml.model` = gpt2).
 * @throws bad-file, no-tokenizer (rules of cutting words that are not known here: a guess would change the tokens)
 */
export function bytePairJson({ tokens, types, value }: GgufVocabulary, path: string): object {
  const merges = value('merges');
  if (!isListOf(merges, 'string')) {
    throw new OneBitError('bad-file', `${path}: tokenizer.ggml.merges is no list of texts.`);
  }
  const pre = value('pre');
  const cutting = typeof pre === 'string' && Object.hasOwn(cuttings, pre) ? cuttings[pre] : undefined;
  if (cutting === undefined) {
    throw new OneBitError(
      'no-tokenizer',
      `${path}: tokenizer.ggml.pre is ${pre === undefined ? 'missing' : JSON.stringify(pre).slice(0, 60)}, which does not say how its tokenizer cuts words; known are ${Object.keys(cuttings).join(', ')}. Put the model's tokenizer.json beside it.`,
    );
  }
  const added = tokens.flatMap((content, id) => {
    const special = types[id] === tokenTypes.control;
    return content !== '' && (special || types[id] === tokenTypes.userDefined)
      ? [{ id, content, special, normalized: false, lstrip: false, rstrip: false, single_word: false }]
      : [];
  });
  const named = new Set(added.map(({ id }) => id));
  return {
    version: '1.0',
    added_tokens: added,
    normalizer: cutting.normalizer === undefined ? null : { type: cutting.normalizer },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        ...cutting.patterns.map((Regex) => ({
          ...{ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false },
        })),
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: cutting.gpt2 ?? false },
      ],
    },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      unk_token: null,
      byte_fallback: false,
      ignore_merges: cutting.wholeWords ?? false,
      vocab: Object.fromEntries(
        tokens.map((token, id) => [token, id] as const).filter(([, id]) => !named.has(id)),
      ),
      merges,
    },
  };
}
