import type { InspectMatrixResult } from '../../server/protocol/inspect.ts';
import { formatInteger, formatPercent, formatStatistic } from '../page/format.ts';
import type { ChartValues } from './value-chart.ts';

type Profile = InspectMatrixResult['rowPositive'];
type Values = InspectMatrixResult['g'];

/** What the charts of a matrix show, in their order on the page. */
export interface MatrixCharts {
  g: ChartValues;
  h: ChartValues;
  gDistribution: ChartValues;
  hDistribution: ChartValues;
  columnPositive: ChartValues;
  rowPositive: ChartValues;
}

/** Titles, which stay while another matrix is read. */
export function chartTitles(logarithmic: boolean): Record<keyof MatrixCharts, string> {
  const over = (vector: string) => (logarithmic ? `Sizes of ${vector}, log scale` : `Values of ${vector}`);
  return {
    g: 'g along the columns',
    h: 'h along the rows',
    gDistribution: over('g'),
    hDistribution: over('h'),
    columnPositive: 'Share of +1 by column',
    rowPositive: 'Share of +1 by row',
  };
}

/** @param other the same matrix of another checkpoint, to be drawn beside it */
export function matrixCharts(
  matrix: InspectMatrixResult,
  logarithmic: boolean,
  other?: InspectMatrixResult,
): MatrixCharts {
  return {
    g: along(matrix.g.profile, 'column', formatStatistic, 0, other?.g.profile),
    h: along(matrix.h.profile, 'row', formatStatistic, 0, other?.h.profile),
    gDistribution: distribution(matrix.g, logarithmic),
    hDistribution: distribution(matrix.h, logarithmic),
    columnPositive: along(matrix.columnPositive, 'column', formatPercent, 0.5, other?.columnPositive),
    rowPositive: along(matrix.rowPositive, 'row', formatPercent, 0.5, other?.rowPositive),
  };
}

/** Values along the rows or the columns; where a step is of several of them it says so. */
function along(
  { length, values }: Profile,
  one: 'row' | 'column',
  text: (value: number) => string,
  base: number,
  other?: Profile,
): ChartValues {
  const run = Math.ceil(length / Math.max(1, values.length));
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return {
    values,
    ...(other?.length === length ? { other: other.values } : {}),
    base,
    at: (index) => {
      const first = index * run;
      const last = Math.min(length, first + run) - 1;
      return last === first
        ? `${one} ${formatInteger(first)}`
        : `${one}s ${formatInteger(first)}–${formatInteger(last)}`;
    },
    text,
    ends: ['0', formatInteger(length - 1)],
    summary: `${text(low)} … ${text(high)}${run === 1 ? '' : `, means of ${run}`}`,
  };
}

function distribution({ linear, log, negative, zero, profile }: Values, logarithmic: boolean): ChartValues {
  const { edges, counts } = logarithmic ? log : linear;
  const edge = (index: number) => formatStatistic(edges[index] ?? NaN);
  const most = counts.indexOf(Math.max(...counts));
  const parts = [`most at ${edge(most)} … ${edge(most + 1)}`];
  if (negative > 0) parts.push(`${formatInteger(negative)} negative`);
  if (zero > 0) parts.push(`${formatInteger(zero)} zero`);
  return {
    values: counts,
    base: 0,
    at: (index) => `${edge(index)} … ${edge(index + 1)}`,
    text: (count) => `${formatInteger(count)} (${formatPercent(count / profile.length)})`,
    ends: [edge(0), edge(edges.length - 1)],
    summary: counts.length === 0 ? 'all values are zero' : parts.join(', '),
  };
}

/** The singular values of the teacher's |W| beyond the first, which is many times larger. */
export function spectrumChart(spectrum: number[]): ChartValues {
  const rest = spectrum.slice(1);
  return {
    values: rest,
    base: 0,
    at: (index) => `σ${subscript(index + 2)}`,
    text: (value) => `${formatStatistic(value)} ‖W‖`,
    ends: ['σ₂', `σ${subscript(spectrum.length)}`],
    summary: `σ₁ ${formatStatistic(spectrum[0] ?? NaN)} ‖W‖, σ₂ ${formatStatistic(rest[0] ?? NaN)} ‖W‖`,
  };
}

function subscript(number: number): string {
  return String(number).replace(/\d/g, (digit) => String.fromCharCode(0x2080 + Number(digit)));
}
