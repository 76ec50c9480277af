// Preloaded into a measured process (node --import): leaves its peak memory, in bytes, in $ONEBIT_PEAK_FILE.
import { writeFileSync } from 'node:fs';

const file = process.env.ONEBIT_PEAK_FILE;
if (file !== undefined) {
  process.once('exit', () => writeFileSync(file, String(process.resourceUsage().maxRSS * 1024)));
}
