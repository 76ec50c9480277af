import { z } from './schema.ts';

/**
 * What a model runs on: `auto` takes a hardware GPU with enough memory, else the CPU; `gpu` the best
 * hardware GPU; `gpu:` and part of a name that one, software ones included.
 */
export const deviceSchema = z.string().regex(/^(auto|cpu|gpu|gpu:.{1,100})$/, {
  error: 'A device is auto, cpu, gpu, or gpu: and part of a name.',
});
export type Device = z.infer<typeof deviceSchema>;
