import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { addRecipeOptions, recipeOf } from '../../../server/cli/recipe-options.ts';
import { hiddenLayersOf } from '../../../server/distill/losses.ts';
import { presetFor, presets } from '../../../server/distill/presets.ts';
import { jobArguments } from '../../../server/jobs/job-command.ts';
import { jobSpecSchema } from '../../../server/protocol/job.ts';
import { recipeSchema, type Recipe } from '../../../server/protocol/recipe.ts';

/** What the command line makes of these options. */
function parse(args: string[]): Partial<Recipe> {
  const command = addRecipeOptions(new Command('distill'), recipeSchema, presets).exitOverride();
  command.configureOutput({ writeErr: () => undefined });
  return command.parse(args, { from: 'user' }).opts<Partial<Recipe>>();
}

describe('presets', () => {
  it('hold values that the schema allows, and change at a billion parameters', () => {
    for (const preset of Object.values(presets)) expect(recipeSchema.parse(preset)).toEqual(preset);
    expect([1e6, 999_999_999, 1e9, 7e9].map(presetFor)).toEqual(['small', 'small', 'paper', 'paper']);
  });

  it('give the weights of the authors’ code: 0.01 × the KL summed over 2048 tokens beside the hidden states', () => {
    expect(presets.paper.klWeight / presets.paper.hiddenWeight).toBeCloseTo(20.48, 12);
    expect(presets.small.klWeight / presets.small.hiddenWeight).toBeCloseTo(20.48, 12);
  });
});

describe('the options of a recipe', () => {
  it('win over the preset, and leave the rest to it', () => {
    const given = parse([
      '--learning-rate',
      '3e-4',
      '--norms',
      'frozen',
      '--hidden-layers',
      '0,2',
      '--clip',
      '0',
    ]);
    expect(given).toEqual({ learningRate: 3e-4, norms: 'frozen', hiddenLayers: '0,2', clip: 0 });
    expect(recipeOf(given, presets.small)).toEqual({ ...presets.small, ...given });
  });

  it.each([
    ['--batch', '1.5'],
    ['--batch', ''],
    ['--beta1', '1'],
    ['--hidden-layers', '0,x'],
    ['--straight-through', 'sigmoid'],
  ])('refuse %s %s', (flag, value) => {
    expect(() => parse([flag, value])).toThrow(/is invalid/);
  });

  it('are those of a job, each of them', () => {
    const folders = { kind: 'distill', teacher: '/t', data: ['/d'], output: '/o' };
    const spec = jobSpecSchema.parse({ ...folders, preset: 'paper', ...presets.small });
    const args = jobArguments(spec, '/jobs/j');
    expect(args.slice(args.indexOf('--preset'), args.indexOf('--preset') + 2)).toEqual(['--preset', 'paper']);
    const from = args.indexOf('--learning-rate');
    expect(parse(args.slice(from, args.indexOf('--progress')))).toEqual(presets.small);
    expect(jobArguments(jobSpecSchema.parse(folders), '/jobs/j')).not.toContain('--preset');
    expect(() => jobSpecSchema.parse({ ...folders, batch: 0 })).toThrow();
  });
});

describe('hidden layers', () => {
  it('are the authors’, all, or those named', () => {
    expect(hiddenLayersOf({ hiddenLayers: 'authors' }, 3)).toEqual([0, 1, 2]);
    expect(hiddenLayersOf({ hiddenLayers: 'all' }, 3)).toEqual([0, 1, 2, 3]);
    expect(hiddenLayersOf({ hiddenLayers: '3,1,3' }, 3)).toEqual([3, 1]);
    expect(() => hiddenLayersOf({ hiddenLayers: '4' }, 3)).toThrow(/names 4, but .* 0 to 3/);
  });
});
