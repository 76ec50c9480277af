export const wasmFolder: string;
export function wasmSources(): string[];
export function wasmSourceHash(): string;
