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

/** Whether to complete here at all: not inside a word, where the insertion would split it. */
export function worthCompleting(lineBefore: string, lineAfter: string): boolean {
  return !(/[\p{L}\p{N}_$]$/u.test(lineBefore) && /^[\p{L}\p{N}_$]/u.test(lineAfter));
}
