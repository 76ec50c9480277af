// What package.json promises to VS Code must be there: commands that nobody registers fail when they are run.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { packageRoot } from '../../../server/package-root.ts';

interface Manifest {
  icon: string;
  contributes: {
    commands: { command: string; title: string; category: string }[];
    menus: Record<string, { command: string; when?: string }[]>;
    views: Record<string, { id: string; icon: string }[]>;
    viewsWelcome: { view: string; contents: string }[];
    walkthroughs: { steps: { media: { svg: string }; description: string }[] }[];
    configuration: {
      properties: Record<string, { type: string; markdownDescription: string; default: unknown }>;
    };
  };
  capabilities: { untrustedWorkspaces: { restrictedConfigurations: string[] } };
}
const manifest = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as Manifest;
const { commands, menus, configuration, views, viewsWelcome, walkthroughs } = manifest.contributes;
const sources = readdirSync(join(packageRoot(), 'extension'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => readFileSync(join(packageRoot(), 'extension', name), 'utf8'))
  .join('\n');

const hidden = (menus.commandPalette ?? []).map(({ command }) => command);
const inPalette = commands.filter(({ command }) => !hidden.includes(command));

test('the commands have the names that people look for', () =>
  expect(inPalette.map(({ category, title }) => `${category}: ${title}`)).toEqual([
    'OneBit: Start Server',
    'OneBit: Stop Server',
    'OneBit: Choose Model…',
    'OneBit: Quantize Checkpoint to 1 Bit (SVID)',
    'OneBit: Distill a 1-Bit Student',
    'OneBit: Compare Models',
    'OneBit: Install the CUDA Backend',
    'OneBit: Open Panel',
    'OneBit: Toggle Completions',
    'OneBit: Toggle Completions for This Language',
    'OneBit: Toggle Completions for This File',
    'OneBit: Show Menu',
    'OneBit: Show Log',
    'OneBit: Inspect Layers',
    'OneBit: Try a Completion',
  ]));

test('every command is registered, and every menu entry has its command', () => {
  const declared = commands.map(({ command }) => command);
  for (const name of declared) {
    expect(sources, name).toMatch(
      new RegExp(`\\b(registerCommand|command)\\(\\s*'(onebit\\.)?${name.replace('onebit.', '')}'`),
    );
  }
  for (const { command } of Object.values(menus).flat()) expect(declared).toContain(command);
});

test('views and the steps of the walkthrough lead to commands that there are, with pictures that there are', () => {
  const declared = commands.map(({ command }) => command);
  const steps = walkthroughs.flatMap((walkthrough) => walkthrough.steps);
  const texts = [
    ...viewsWelcome.map(({ contents }) => contents),
    ...steps.map(({ description }) => description),
  ];
  for (const [, command = ''] of texts.join('\n').matchAll(/\(command:(onebit\.\w+)/g)) {
    expect(declared).toContain(command);
  }
  const ids = Object.values(views).flat();
  for (const { view } of viewsWelcome) expect(ids.map(({ id }) => id)).toContain(view);
  for (const picture of [...ids.map(({ icon }) => icon), ...steps.map(({ media }) => media.svg)]) {
    expect(readFileSync(join(packageRoot(), picture), 'utf8')).toContain('<svg');
  }
});

test('every setting is read by the extension, is described and has a default', () => {
  const { properties } = configuration;
  for (const [name, property] of Object.entries(properties)) {
    expect(sources, name).toContain(`'${name.replace('onebit.', '')}'`);
    expect(property.markdownDescription.length, name).toBeGreaterThan(20);
    expect(property.default, name).toBeDefined();
  }
  for (const name of manifest.capabilities.untrustedWorkspaces.restrictedConfigurations) {
    expect(Object.keys(properties)).toContain(name);
  }
});

test('the icon is a PNG of 256 × 256', () => {
  const png = readFileSync(join(packageRoot(), manifest.icon));
  expect(png.subarray(1, 4).toString('latin1')).toBe('PNG');
  expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([256, 256]);
});
