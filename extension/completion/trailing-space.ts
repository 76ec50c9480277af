// Tokenizers put the space before a word into the word's token. After `return ` the model would have to
// continue with a word that has no space before it, which it has hardly ever seen: so it is asked for the text
// after `return`, and the space is taken off its answer.

/** The prefix without the spaces at its end, and those spaces; indentation stays in the prefix. */
export function splitTrailingSpace(prefix: string): { prefix: string; space: string } {
  const end = prefix.search(/[ \t]+$/);
  if (end <= 0 || prefix[end - 1] === '\n') return { prefix, space: '' };
  return { prefix: prefix.slice(0, end), space: prefix.slice(end) };
}

/** What is to be inserted after `space`, when the model was asked without it. */
export function withoutLeadingSpace(text: string, space: string): string {
  if (space === '') return text;
  return text.startsWith(space) ? text.slice(space.length) : text.replace(/^[ \t]+/, '');
}
