/** Figures as people read them. Sizes are decimal (1 MB = 10⁶ bytes), as disks and model cards give them. */

/** Shown where there is no figure. */
export const none = '–';

const byteUnits = ['B', 'kB', 'MB', 'GB', 'TB'];

/** Three significant digits and a unit: `4.61 MB`, `809 MB`, `1.35 GB`. */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes)) return none;
  let value = bytes;
  let unit = 0;
  // 999.5 would be written as 1000.
  while (Math.abs(value) >= 999.5 && unit < byteUnits.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? String(Math.round(value)) : significant(value)} ${byteUnits[unit]}`;
}

/** `1,234,567` */
export function formatInteger(value: number): string {
  return Number.isFinite(value) ? Math.round(value).toLocaleString('en-US') : none;
}

/** Short count of parameters or tokens: `264 K`, `3.20 M`, `6.74 B`. */
export function formatCount(value: number): string {
  if (!Number.isFinite(value)) return none;
  const units = ['', ' K', ' M', ' B', ' T'];
  let scaled = value;
  let unit = 0;
  while (Math.abs(scaled) >= 999.5 && unit < units.length - 1) {
    scaled /= 1000;
    unit++;
  }
  return unit === 0 ? String(Math.round(scaled)) : significant(scaled) + units[unit];
}

/** A share of 0..1 as a percentage. */
export function formatPercent(share: number, digits = 1): string {
  return Number.isFinite(share) ? `${(share * 100).toFixed(digits)}%` : none;
}

/** How many times smaller: `16×`, `5.2×`. */
export function formatRatio(ratio: number): string {
  if (!Number.isFinite(ratio) || ratio <= 0) return none;
  return `${ratio >= 99.5 ? formatInteger(ratio) : trim(ratio.toFixed(1))}×`;
}

/** A statistic of any size in four significant digits: `0.01234`, `-3.200e-5`, `12.35`. */
export function formatStatistic(value: number): string {
  if (!Number.isFinite(value)) return none;
  if (value === 0) return '0';
  const size = Math.abs(value);
  return size < 1e-4 || size >= 1e6 ? value.toExponential(2) : value.toPrecision(4);
}

/** A loss or perplexity: `3.021`, `45.21`, `12,034`. */
export function formatLoss(value: number): string {
  if (!Number.isFinite(value)) return none;
  return Math.abs(value) >= 1000 ? formatInteger(value) : formatStatistic(value);
}

/** The same text, which breaks into lines nowhere inside. */
export function unbroken(text: string): string {
  return text.replaceAll(' ', '\u00a0');
}

/** The last part of a path, whichever way its slashes lean. */
export function baseName(path: string): string {
  const parts = path.split(/[\\/]+/).filter((part) => part !== '');
  return parts.at(-1) ?? path;
}

function significant(value: number): string {
  const size = Math.abs(value);
  return value.toFixed(size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2);
}

function trim(text: string): string {
  return text.replace(/\.0$/, '');
}
