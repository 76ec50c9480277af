/**
 * The entries of a JSON object, one after the other, so that whoever reads an object of a million entries can pause
 * between them. Each value goes through JSON.parse, so what is no valid JSON is refused as there. JSON.parse keeps the last
 * of two equal keys silently, and two readers could see two different tensors under one name: here that is an error too.
 * @throws SyntaxError
 */
export function* objectEntries(text: string): Generator<[key: string, value: unknown], void> {
  const keys = new Set<string>();
  let at = skipSpace(text, 0);
  if (text[at] !== '{') throw new SyntaxError('the header is not a JSON object');
  at = skipSpace(text, at + 1);
  if (text[at] !== '}') {
    for (;;) {
      if (text[at] !== '"') throw unexpected(text, at);
      const keyEnd = stringEnd(text, at);
      const key = JSON.parse(text.slice(at, keyEnd)) as string;
      if (keys.has(key)) throw twice(key);
      keys.add(key);
      at = skipSpace(text, keyEnd);
      if (text[at] !== ':') throw unexpected(text, at);
      const start = skipSpace(text, at + 1);
      const end = valueEnd(text, start);
      const slice = text.slice(start, end);
      const value: unknown = JSON.parse(slice);
      checkKeys(slice, value);
      yield [key, value];
      at = skipSpace(text, end);
      if (text[at] === '}') break;
      if (text[at] !== ',') throw unexpected(text, at);
      at = skipSpace(text, at + 1);
    }
  }
  at = skipSpace(text, at + 1);
  if (at < text.length) throw unexpected(text, at);
}

function unexpected(text: string, at: number): SyntaxError {
  const found = at < text.length ? JSON.stringify(text[at]) : 'the end';
  return new SyntaxError(`the header is not valid JSON (${found} at position ${at})`);
}

function twice(key: string): SyntaxError {
  return new SyntaxError(`the header names ${JSON.stringify(key).slice(0, 200)} twice`);
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) break;
    at++;
  }
  return at;
}

/** Behind the closing quote. @param from the opening one */
function stringEnd(text: string, from: number): number {
  for (let at = text.indexOf('"', from + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let slashes = 0;
    while (text.charCodeAt(at - 1 - slashes) === 0x5c) slashes++;
    if (slashes % 2 === 0) return at + 1;
  }
  throw unexpected(text, text.length);
}

/** Behind a value, by its brackets and quotes alone. */
function valueEnd(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x22) at = stringEnd(text, at) - 1;
    else if (code === 0x7b || code === 0x5b) depth++;
    else if (code === 0x7d || code === 0x5d) {
      if (depth === 0) return at;
      depth--;
    } else if (code === 0x2c && depth === 0) return at;
    if (depth === 0 && (code === 0x22 || code === 0x7d || code === 0x5d)) return at + 1;
  }
  return text.length;
}

/** Refuses a key that stands twice in one object of valid JSON text. */
function checkKeys(json: string, value: unknown): void {
  // An entry as everybody writes it has no more colons than keys.
  if (typeof value === 'object' && value !== null && json.split(':').length - 1 === Object.keys(value).length)
    return;
  const open: (Set<string> | undefined)[] = [];
  for (const [token, colon] of json.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?|[[\]{}]/gs)) {
    if (token === '{') open.push(new Set());
    else if (token === '[') open.push(undefined);
    else if (token === '}' || token === ']') open.pop();
    else if (colon !== undefined) {
      const key = JSON.parse(token.slice(0, -colon.length)) as string;
      const keys = open.at(-1);
      if (keys?.has(key) === true) throw twice(key);
      keys?.add(key);
    }
  }
}
