/** A completion that was shown, and where. */
export interface Answer {
  document: string;
  /** Offset of the cursor that it was made for. */
  offset: number;
  /** Text between the start of the cursor's line and the cursor. */
  lineBefore: string;
  lineAfter: string;
  text: string;
}

/**
 * What is left of `answer` when its first characters have been typed: while the user types what the ghost
 * text says, the server need not be asked again. Undefined when something else was typed.
 */
export function restOf(
  answer: Answer | undefined,
  here: Omit<Answer, 'text' | 'lineBefore'> & { lineBefore: string },
): string | undefined {
  if (answer === undefined || answer.document !== here.document || answer.lineAfter !== here.lineAfter) {
    return undefined;
  }
  const typed = here.offset - answer.offset;
  if (typed < 0 || typed >= answer.text.length) return undefined;
  const start = answer.text.slice(0, typed);
  if (start.includes('\n') || here.lineBefore !== answer.lineBefore + start) return undefined;
  return answer.text.slice(typed);
}
