/**
 * Whether one line is asked for. Several lines make sense only where a block begins: on an empty line, or
 * after an opening bracket, colon or arrow at the line's end. Everywhere else one line is faster and right
 * more often.
 */
export function asksOneLine(lineBefore: string, lineAfter: string): boolean {
  if (lineAfter.trim() !== '') return true;
  const before = lineBefore.trimEnd();
  return before !== '' && !/([{([:]|=>|\bdo|\bthen|\belse)$/.test(before);
}

/**
 * Whether to complete here: not inside a word, where the insertion would split it; and, unless asked for, not
 * behind a finished statement, where hardly anything but a comment can follow.
 */
export function worthCompleting(lineBefore: string, lineAfter: string, asked: boolean): boolean {
  if (/[\p{L}\p{N}_$]$/u.test(lineBefore) && /^[\p{L}\p{N}_$]/u.test(lineAfter)) return false;
  return asked || lineAfter.trim() !== '' || !/[;}]\s*$/.test(lineBefore);
}
