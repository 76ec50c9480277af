import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../server/package-root.ts';

export interface CommandResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs the built `onebit` command as a user would, and waits for its end. */
export function onebit(args: string[], env: Record<string, string> = {}): Promise<CommandResult> {
  const bundle = join(packageRoot(), 'dist', 'onebit.mjs');
  if (!existsSync(bundle)) throw new Error('dist/onebit.mjs is not built: npm run build');
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [bundle, ...args],
      { env: { ...process.env, ...env }, maxBuffer: 1 << 28 },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
        resolve({ code, stdout, stderr });
      },
    );
  });
}

/** The same for a command that must succeed and prints one JSON value. */
export async function onebitJson<T>(args: string[], env: Record<string, string> = {}): Promise<T> {
  const { code, stdout, stderr } = await onebit([...args, '--json'], env);
  if (code !== 0) throw new Error(`onebit ${args.join(' ')} ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as T;
}
