import { InvalidArgumentError, Option, type Command } from 'commander';
import { z } from 'zod';
import { flagOf } from '../protocol/recipe.ts';

/**
 * Adds an option for every field of a recipe. None gets a default of commander's: what the user did not
 * give stays undefined, and `recipeOf` fills it in. The help shows the values of `presets`.
 */
export function addRecipeOptions(
  command: Command,
  schema: z.ZodObject,
  presets: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
): Command {
  for (const [field, kind] of Object.entries(schema.shape) as [string, z.ZodType][]) {
    const option = new Option(
      `${flagOf(field)} <${placeholder(kind)}>`,
      `${kind.description ?? ''} (${shownDefault(field, presets)})`,
    );
    if (kind instanceof z.ZodEnum) option.choices(kind.options.map(String));
    else option.argParser((text) => parsed(kind, text));
    command.addOption(option);
  }
  return command;
}

/** The recipe that counts: what was given, and the preset for the rest. */
export function recipeOf<R extends object>(given: Partial<R>, preset: Readonly<R>): R {
  const own = (Object.keys(preset) as (keyof R)[]).filter((field) => given[field] !== undefined);
  return { ...preset, ...Object.fromEntries(own.map((field) => [field, given[field]])) };
}

function parsed(kind: z.ZodType, text: string): unknown {
  const value = kind instanceof z.ZodNumber ? (text.trim() === '' ? NaN : Number(text)) : text;
  const result = kind.safeParse(value);
  if (!result.success) {
    throw new InvalidArgumentError(`${result.error.issues.map(({ message }) => message).join('; ')}.`);
  }
  return result.data;
}

function placeholder(kind: z.ZodType): string {
  if (kind instanceof z.ZodEnum) return 'how';
  if (kind instanceof z.ZodNumber) return kind.isInt ? 'n' : 'x';
  return 'which';
}

function shownDefault(
  field: string,
  presets: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
): string {
  const values = Object.entries(presets).map(([name, preset]) => [name, shown(preset[field])] as const);
  const [first] = values;
  return first !== undefined && values.every(([, value]) => value === first[1])
    ? `default: ${first[1]}`
    : values.map(([name, value]) => `${name}: ${value}`).join(', ');
}

const shown = (value: unknown): string =>
  typeof value === 'number' ? String(Number(value.toPrecision(4))) : String(value);
