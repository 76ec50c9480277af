import { chooseBackend } from '../../../server/distill/backend/choose-backend.ts';
import { nativeAddon } from '../../../server/native/addon.ts';

type Backend = [name: string, activate: () => Promise<void>];

const backend = (name: 'native' | 'cpu'): Backend => [
  name,
  async () => {
    await chooseBackend(name);
  },
];

/** Every backend there is here: what must be right on each of them. */
export const trainingBackends: Backend[] =
  nativeAddon() === undefined ? [backend('cpu')] : [backend('native'), backend('cpu')];

/** The backend that training chooses here: for what does not depend on it. */
export const fastestBackends: Backend[] = trainingBackends.slice(0, 1);
