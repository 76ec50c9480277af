/** Words that say nothing of what a piece of code is about. */
const common = new Set(
  (
    'a an and any as async await be boolean break by case catch class const continue def default do else end enum ' +
    'export extends false final finally fn for from func function get if implements import in instanceof int ' +
    'interface is it let match module mut name namespace new nil none not null number of on or package pass ' +
    'private protected pub public readonly return self set static str string struct super switch the then this ' +
    'throw to true try type typeof undefined use val value var void where while with yield'
  ).split(' '),
);

/** The names in a text, in lower case, without keywords and single letters. */
export function identifiers(text: string): Set<string> {
  const names = new Set<string>();
  for (const [word] of text.matchAll(/[\p{L}_$][\p{L}\p{N}_$]+/gu)) {
    const name = word.toLowerCase();
    if (!common.has(name)) names.add(name);
  }
  return names;
}

/** Jaccard similarity |a ∩ b| / |a ∪ b|, 0 to 1; 0 for two empty sets. */
export function similarity(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  const [small, large] = a.size < b.size ? [a, b] : [b, a];
  let shared = 0;
  for (const name of small) if (large.has(name)) shared++;
  return shared === 0 ? 0 : shared / (a.size + b.size - shared);
}
