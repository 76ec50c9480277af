/** Pieces of code with a gap, as an editor would send them. */
export const completionPrompts = [
  {
    language: 'typescript',
    prefix:
      "import { readFile } from 'node:fs/promises';\n\nexport async function readJson(path: string) {\n  const text = await ",
    suffix: '\n  return JSON.parse(text);\n}\n',
  },
  {
    language: 'javascript',
    prefix: 'function isString(value) {\n  return typeof value === ',
    suffix: ';\n}\n',
  },
  {
    language: 'typescript',
    prefix: 'export class Queue<T> {\n  private items: T[] = [];\n\n  push(item: T): void {\n    this.items.',
    suffix: '\n  }\n\n  get length(): number {\n    return this.items.length;\n  }\n}\n',
  },
];
