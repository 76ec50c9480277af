import type { ModelSummary } from '../../../server/protocol/model.ts';

/** Models such as a server knows of. */

export const starter: ModelSummary = {
  id: 'starter',
  name: 'Starter (code, 3 M)',
  path: '/opt/onebit/server/starter/student',
  kind: 'onebit',
  parameters: 3_211_520,
  bytes: 2_884_096,
  infill: true,
  chat: false,
};

export const llama: ModelSummary = {
  id: '/home/ada/models/llama-7b-onebit',
  name: 'llama-7b-onebit',
  path: '/home/ada/models/llama-7b-onebit',
  kind: 'onebit',
  parameters: 6_738_415_616,
  bytes: 1_336_000_000,
  infill: false,
  chat: false,
};

export const teacher: ModelSummary = {
  id: '/home/ada/models/llama-7b',
  name: 'llama-7b',
  path: '/home/ada/models/llama-7b',
  kind: 'full',
  parameters: 6_738_415_616,
  bytes: 13_476_831_232,
  infill: false,
  chat: false,
};
