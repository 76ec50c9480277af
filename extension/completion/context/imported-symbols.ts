/** A name that a file imports, and where the name stands in the import. */
export interface ImportedSymbol {
  name: string;
  /** Line from 0, and UTF-16 units from its start. */
  line: number;
  character: number;
}

const fromModule = /^\s*(?:import|export)\s+(?:type\s+)?([\s\S]*?)\s+from\s*['"]/gm;
const required = /^\s*(?:const|let|var)\s+(\{[^}]*\}|[\w$]+)\s*=\s*require\(/gm;
const python = /^\s*from\s+[\w.]+\s+import\s+(\([^)]*\)|[^\n#]+)/gm;

/**
 * The names that a text imports: ES modules, `require`, Python's `from … import`. With `a as b` it is `b`, which the
 * text uses.
 */
export function importedSymbols(text: string): ImportedSymbol[] {
  const symbols: ImportedSymbol[] = [];
  const seen = new Set<string>();
  for (const pattern of [fromModule, required, python]) {
    for (const match of text.matchAll(pattern)) {
      const list = match[1] ?? '';
      const start = match.index + match[0].indexOf(list);
      for (const part of list.matchAll(/(?:[\w$*]+\s+as\s+)?([\w$]+)(?=\s*(?:[,})\n:]|$))/g)) {
        const name = part[1] ?? '';
        if (seen.has(name) || name === 'type' || /^\d/.test(name)) continue;
        seen.add(name);
        const at = start + part.index + part[0].length - name.length;
        const before = text.slice(0, at);
        symbols.push({
          name,
          line: before.split('\n').length - 1,
          character: at - before.lastIndexOf('\n') - 1,
        });
      }
    }
  }
  return symbols;
}

/** Those of the symbols that a text uses, the one used last first. */
export function usedSymbols(symbols: readonly ImportedSymbol[], text: string): ImportedSymbol[] {
  const last = new Map<string, number>();
  for (const match of text.matchAll(/[\p{L}_$][\p{L}\p{N}_$]*/gu)) last.set(match[0], match.index);
  return symbols
    .filter(({ name }) => last.has(name))
    .sort((a, b) => (last.get(b.name) ?? 0) - (last.get(a.name) ?? 0));
}
