import { OneBitError } from '../../protocol/error.ts';

/** Where published data sets keep source code, when it is not in `text`. */
const otherNames = ['content', 'code'];

/**
 * The column (or JSON field) that holds the text: the wanted one, else `text`, else `content` or `code`.
 * @param columns those with strings
 * @param where the file, for the message
 * @returns undefined if none of them is there
 * @throws bad-value if there are both `content` and `code`: only the user knows
 */
export function chooseTextColumn(
  columns: readonly string[],
  wanted: string | undefined,
  where: string,
): string | undefined {
  if (wanted !== undefined) return columns.find((name) => name === wanted);
  if (columns.includes('text')) return 'text';
  const [first, second] = columns.filter((name) => otherNames.includes(name));
  if (first !== undefined && second !== undefined) {
    throw new OneBitError(
      'bad-value',
      `${where} has both "${first}" and "${second}": say with --text-column which one holds the text.`,
    );
  }
  return first;
}
