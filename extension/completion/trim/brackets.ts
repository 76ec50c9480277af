const closers = new Map([
  [')', '('],
  [']', '['],
  ['}', '{'],
]);
const openers = new Set(closers.values());

/** How many brackets `text` opens and does not close. */
function openBrackets(text: string): number {
  let open = 0;
  for (const character of text) {
    if (openers.has(character)) open++;
    else if (closers.has(character) && open > 0) open--;
  }
  return open;
}

/**
 * `text` without the part at its end that equals the beginning of `after`; a bracket that `text` itself
 * opened keeps its closing one.
 */
export function withoutRepeatedStart(text: string, after: string): string {
  for (let length = Math.min(text.length, after.length); length > 0; length--) {
    if (!text.endsWith(after.slice(0, length))) continue;
    const rest = text.slice(0, text.length - length);
    if (openBrackets(rest) <= openBrackets(text)) return rest;
  }
  return text;
}

/**
 * Where in `text` the first bracket is that it closes without having opened it, where that bracket already stands
 * after the cursor. Undefined where there is none. Text that is still to come does not change it.
 */
export function foreignCloser(text: string, lineAfter: string): number | undefined {
  const standing = lineAfter.trimStart();
  const opened: string[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at);
    const opener = closers.get(character);
    if (openers.has(character)) opened.push(character);
    else if (opener !== undefined) {
      if (opened.at(-1) === opener) opened.pop();
      else if (standing.startsWith(character)) return at;
    }
  }
  return undefined;
}
