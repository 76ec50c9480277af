import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { OneBitError } from '../protocol/error.ts';
import { packageRoot } from '../package-root.ts';

/** What every stage's part of the addon shares; each stage extends it with the functions it calls. */
export interface NativeAddon {
  /** avx512, avx2, neon or portable (C++ without intrinsics). */
  readonly isa: string;
  setThreads(n: number): void;
  threads(): number;
  /** Gives freed memory that the C library keeps for later back to the system; does nothing where it keeps none. */
  trimMemory(): void;
}

let loaded: NativeAddon | undefined;
let failure: string | undefined;

/** The addon, or undefined where it is not built (then `nativeFailure` says why). ONEBIT_NATIVE=off hides it. */
export function nativeAddon<T extends NativeAddon = NativeAddon>(): T | undefined {
  if (loaded === undefined && failure === undefined) {
    const places = [
      join('server', 'native', 'build', 'Release', 'onebit.node'),
      join('server', 'native', 'prebuilds', `${process.platform}-${process.arch}`, 'onebit.node'),
    ].map((place) => join(packageRoot(), place));
    const file = places.find((place) => existsSync(place));
    if (process.env.ONEBIT_NATIVE === 'off') failure = 'switched off by ONEBIT_NATIVE=off';
    else if (file === undefined) failure = 'not built for this machine (npm run build:native)';
    else {
      try {
        loaded = createRequire(import.meta.url)(file) as NativeAddon;
      } catch (error) {
        failure = `${file} does not load: ${error instanceof Error ? error.message : String(error)}`;
      }
    }
  }
  return loaded as T | undefined;
}

/** Why there is no addon; undefined while there is one. */
export function nativeFailure(): string | undefined {
  nativeAddon();
  return failure;
}

/** The addon, or the native-missing error. */
export function requireNativeAddon<T extends NativeAddon = NativeAddon>(): T {
  const addon = nativeAddon<T>();
  if (addon === undefined) throw new OneBitError('native-missing', `The native kernels are ${failure}.`);
  return addon;
}
