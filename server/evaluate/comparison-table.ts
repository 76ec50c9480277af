import type { Score } from './accuracy.ts';
import type { ComparedModel, Comparison } from './compare.ts';

const roles: Record<ComparedModel['role'], (name: string) => string> = {
  teacher: (name) => `teacher: ${name}`,
  rtn: () => 'round-to-nearest, 1-bit',
  svid: () => 'SVID only, 1-bit',
  student: (name) => `student: ${name}`,
};

/** A comparison as a Markdown table, one line a model, with a note of what was measured. */
export function comparisonMarkdown({ text, models }: Comparison): string {
  const teacher = models[0];
  const columns: { head: string; cell: (model: ComparedModel) => string }[] = [
    { head: 'model', cell: ({ role, name }) => roles[role](name) },
    { head: 'size', cell: ({ bytes }) => `${number(bytes / 1e6)} MB` },
    { head: 'bits a weight', cell: ({ bitsPerWeight }) => number(bitsPerWeight) },
  ];
  if (text !== undefined) {
    columns.push(
      {
        head: 'perplexity',
        cell: ({ perplexity: p }) => (p === undefined ? '' : `${number(p.ppl)} ± ${error(p.stderr, p.ppl)}`),
      },
      { head: '× teacher', cell: ({ perplexity: p }) => ratio(p?.ppl, teacher?.perplexity?.ppl) },
    );
  }
  for (const [i, { task, scores }] of (teacher?.tasks ?? []).entries()) {
    for (const [s, { name }] of scores.entries()) {
      // Bytes and characters differ for other scripts only: the JSON has both.
      if (name === 'acc_bytes') continue;
      columns.push({ head: `${task} ${name}`, cell: ({ tasks }) => share(tasks[i]?.scores[s]) });
    }
  }
  const row = (cells: string[]) => `| ${cells.join(' | ')} |`;
  const lines = [
    row(columns.map(({ head }) => escape(head))),
    row(columns.map((_, i) => (i === 0 ? '---' : '---:'))),
    ...models.map((model) => row(columns.map(({ cell }) => escape(cell(model))))),
  ];
  return `${lines.join('\n')}\n\n${note(teacher, text)}\n`;
}

function note(teacher: ComparedModel | undefined, text: string | undefined): string {
  const parts: string[] = [];
  const p = teacher?.perplexity;
  if (p !== undefined && text !== undefined) {
    parts.push(`Perplexity of ${p.tokens} tokens in windows of ${p.window} tokens, stride ${p.stride}.`);
  }
  for (const { task, questions, truncated } of teacher?.tasks ?? []) {
    const cut = truncated === 0 ? '' : `, ${truncated} of them cut to the context`;
    parts.push(`${task}: ${questions} questions${cut}.`);
  }
  parts.push('± is the standard error. Bits a weight: of the linear layers of the blocks, scales included.');
  return parts.join(' ');
}

/** Four significant digits, without an exponent below a million. */
function number(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return value < 1e4
    ? String(Number(value.toPrecision(4)))
    : value < 1e6
      ? value.toFixed(0)
      : value.toPrecision(3);
}

/** An error to as many decimals as its value is shown with. */
function error(value: number, of: number): string {
  const decimals = number(of).split('.')[1]?.length ?? 0;
  return /e/.test(number(of)) ? value.toPrecision(2) : value.toFixed(decimals);
}

function ratio(value: number | undefined, one: number | undefined): string {
  return value === undefined || one === undefined ? '' : number(value / one);
}

function share(score: Score | undefined): string {
  if (score === undefined) return '';
  const { value, stderr } = score;
  return stderr === undefined ? value.toFixed(4) : `${value.toFixed(4)} ± ${stderr.toFixed(4)}`;
}

function escape(text: string): string {
  return text.replaceAll('|', '\\|').replace(/\s*\n\s*/g, ' ');
}
