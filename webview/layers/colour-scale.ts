/** From values to colours: a share of the way to a strong colour, and which of two. */
export interface ColourScale {
  /** Ends of the scale. */
  low: number;
  high: number;
  /** Where colours go both ways: the value without colour. */
  middle?: number;
  /** −1 … 1 where there is a middle, 0 … 1 where there is none; undefined for what is no number. */
  share(value: number | undefined): number | undefined;
}

/**
 * A scale that all these values fit into. Around a middle both ends are as far from it; a logarithmic one, of values over
 * zero, tells small ones apart beside a few that are many times larger.
 */
export function colourScale(
  values: (number | undefined)[],
  { middle, logarithmic = false }: { middle?: number; logarithmic?: boolean } = {},
): ColourScale {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value === undefined || !Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) [low, high] = [middle ?? 0, middle ?? 0];
  if (middle !== undefined) {
    const reach = Math.max(Math.abs(low - middle), Math.abs(high - middle));
    [low, high] = [middle - reach, middle + reach];
  }
  const share = (value: number | undefined): number | undefined => {
    if (value === undefined || !Number.isFinite(value)) return undefined;
    if (high === low) return 0;
    if (logarithmic && middle === undefined && low > 0) {
      return Math.min(1, Math.max(0, Math.log(Math.max(low, value) / low) / Math.log(high / low)));
    }
    const part = middle === undefined ? (value - low) / (high - low) : (value - middle) / ((high - low) / 2);
    return Math.min(1, Math.max(middle === undefined ? 0 : -1, part));
  };
  return { low, high, middle, share };
}
