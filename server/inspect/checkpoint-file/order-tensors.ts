import type { TensorColumn, TensorRow } from '../../protocol/checkpoint-file.ts';

/** Above this, names are compared letter by letter: comparing numbers in them takes ten times as long. */
const naturalLimit = 20_000;

/**
 * The tensors whose name, type or shape has every word of `search`, in the order of a column; ties stay in the order of
 * the file. Shapes are ordered by their number of elements.
 */
export function orderTensors(
  tensors: readonly TensorRow[],
  { search, sort, descending }: { search: string; sort: TensorColumn; descending: boolean },
): readonly TensorRow[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const found =
    words.length === 0
      ? tensors
      : tensors.filter((tensor) => {
          const text = `${tensor.name} ${tensor.type} ${shapeText(tensor.shape)}`.toLowerCase();
          return words.every((word) => text.includes(word));
        });
  if (sort === 'position') return descending ? found.toReversed() : found;
  const compare = comparisons(found.length)[sort];
  return found.toSorted(descending ? (a, b) => compare(b, a) : compare);
}

/** `4096 × 11008`, which is searched as `4096x11008` too. */
function shapeText(shape: readonly number[]): string {
  return `${shape.join(' × ')} ${shape.join('x')}`;
}

type Compare = (a: TensorRow, b: TensorRow) => number;

function comparisons(count: number): Record<Exclude<TensorColumn, 'position'>, Compare> {
  const natural = new Intl.Collator('en', { numeric: true });
  const letters: Compare = (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
  return {
    // layers.2 before layers.10
    name: count > naturalLimit ? letters : (a, b) => natural.compare(a.name, b.name),
    shape: (a, b) => elements(a) - elements(b),
    type: (a, b) => (a.type < b.type ? -1 : a.type > b.type ? 1 : 0),
    bytes: (a, b) => a.bytes - b.bytes,
  };
}

function elements({ shape }: TensorRow): number {
  return shape.reduce((product, size) => product * size, 1);
}
