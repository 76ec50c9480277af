export function findChromium(): string | undefined;
export function installPackages(): void;
export function setUp(): void;
