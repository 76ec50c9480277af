export function findChromium(): string | undefined;
export function ensureChromium(): void;
export function installPackages(): void;
export function setUp(): void;
