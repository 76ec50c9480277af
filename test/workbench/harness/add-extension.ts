import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** An extension of a test's own: what package.json says of it beside its name, and its code (CommonJS). */
export interface TestExtension {
  name: string;
  manifest: Record<string, unknown>;
  code: string;
}

/**
 * Installs an extension beside those that are installed in `from`, into a new folder.
 * @returns the new folder
 */
export async function addExtension(from: string, to: string, extension: TestExtension): Promise<string> {
  const { name, manifest, code } = extension;
  await cp(from, to, { recursive: true, verbatimSymlinks: true });
  const folder = join(to, `test.${name}-1.0.0`);
  await mkdir(folder, { recursive: true });
  const about = {
    name,
    publisher: 'test',
    version: '1.0.0',
    main: './main.js',
    engines: { vscode: '^1.104.0' },
  };
  await writeFile(join(folder, 'package.json'), JSON.stringify({ ...about, ...manifest }));
  await writeFile(join(folder, 'main.js'), code);
  // VS Code reads what is installed from this list, not from the folders.
  const list = join(to, 'extensions.json');
  const installed = JSON.parse(await readFile(list, 'utf8')) as {
    relativeLocation: string;
    location: { path: string };
  }[];
  const moved = installed.map((entry) => ({
    ...entry,
    location: { ...entry.location, path: join(to, entry.relativeLocation) },
  }));
  const own = {
    identifier: { id: `test.${name}` },
    version: '1.0.0',
    location: { $mid: 1, path: folder, scheme: 'file' },
    relativeLocation: `test.${name}-1.0.0`,
  };
  await writeFile(list, JSON.stringify([...moved, own]));
  return to;
}
