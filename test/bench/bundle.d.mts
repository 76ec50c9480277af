/** The module of test/bench/<name>.ts, bundled. */
export function loadBundled(name: 'server-load'): Promise<typeof import('./server-load.ts')>;
/** The path of the bundle of test/bench/<name>.ts. */
export function bundle(name: string): Promise<string>;
export function median(values: readonly number[]): number;
