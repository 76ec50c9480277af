import type { InspectLayersResult, InspectMatrixResult } from '../../server/protocol/inspect.ts';
import { element } from '../page/element.ts';
import { formatInteger, formatRatio, formatStatistic } from '../page/format.ts';
import { shortName } from './layer-columns.ts';
import { valuesTable } from './values-table.ts';

/** So many names are listed; the rest is counted. */
const mostNames = 4;

/** The largest entries of g or h. */
export function extremesTable(vector: 'g' | 'h', { extremes }: InspectMatrixResult['g']): HTMLElement {
  return valuesTable(
    `Largest |${vector}|`,
    [vector === 'g' ? 'Column' : 'Row', vector],
    extremes.map(({ index, value }) => [formatInteger(index), formatStatistic(value)]),
  );
}

/** The outlier inputs of a matrix, and the other matrices that have them too. */
export function outliersTable(
  result: InspectLayersResult,
  { name, columns, outlierInputs }: InspectMatrixResult['statistics'],
): HTMLElement {
  const caption = 'Outlier inputs: columns whose |g| is over four times the median';
  if (outlierInputs.length === 0) return element('p', { class: 'note' }, `${caption}: none.`);
  const recurring = result.recurringOutliers.filter(
    (one) => one.columns === columns && one.matrices.includes(name),
  );
  return valuesTable(
    caption,
    ['Column', '÷ median', 'Also in'],
    outlierInputs.map(({ channel, ratio }) => [
      formatInteger(channel),
      formatRatio(ratio),
      names(
        recurring.find((one) => one.channel === channel)?.matrices.filter((other) => other !== name) ?? [],
      ),
    ]),
  );
}

/** The channels that are outliers in several matrices of the model; nothing where there are none. */
export function recurringTable({ recurringOutliers }: InspectLayersResult): HTMLElement | undefined {
  if (recurringOutliers.length === 0) return undefined;
  return valuesTable(
    'Outlier inputs that recur in several matrices that read the same kind of input',
    ['Column', 'of', 'Matrices', 'Which'],
    recurringOutliers.map(({ channel, columns, matrices }) => [
      formatInteger(channel),
      formatInteger(columns),
      formatInteger(matrices.length),
      names(matrices),
    ]),
  );
}

function names(matrices: string[]): HTMLElement {
  const listed = matrices.slice(0, mostNames).map(shortName).join(', ');
  const more = matrices.length - mostNames;
  return element(
    'span',
    { title: matrices.map(shortName).join('\n') },
    matrices.length === 0 ? 'no other' : more > 0 ? `${listed} and ${formatInteger(more)} more` : listed,
  );
}
