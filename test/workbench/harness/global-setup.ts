import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { installExtension } from './code-server.ts';
import { output, vsix } from './places.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** The folder into which the packed extension is installed, once for all files. */
    extensions: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await rm(output, { recursive: true, force: true });
  await mkdir(output, { recursive: true });
  const extensions = await mkdtemp(join(tmpdir(), 'onebit-wbx-'));
  await installExtension(vsix, extensions);
  project.provide('extensions', extensions);
  return () => rm(extensions, { recursive: true, force: true });
}
