import { InvalidArgumentError } from 'commander';

/** Parses an integer option within bounds. */
export function integer(min: number, max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isInteger(value) || value < min || value > max) {
      throw new InvalidArgumentError(
        `Expected ${range('a whole number', min, max, Number.MAX_SAFE_INTEGER)}.`,
      );
    }
    return value;
  };
}

/** Parses a number option within bounds. */
export function number(min: number, max = Infinity): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isFinite(value) || value < min || value > max) {
      throw new InvalidArgumentError(`Expected ${range('a number', min, max, Infinity)}.`);
    }
    return value;
  };
}

function range(what: string, min: number, max: number, unbounded: number): string {
  return max === unbounded ? `${what} of at least ${min}` : `${what} from ${min} to ${max}`;
}
