// One window as a process of its own, to be killed as an extension host may be: the extension's own link to the server,
// with a completion that does not end. Arguments: state folder, command line's bundle, model. Says on standard output
// that the completion has begun.
import { ServerLink } from '../../extension/server-link/server-link.ts';

const [, , stateFolder = '', cli = '', model = ''] = process.argv;
const link = new ServerLink({
  version: '0',
  folders: { all: () => [model], onDidChange: () => ({ dispose: () => {} }) },
  start: () => ({
    ...{ stateFolder, node: process.execPath, cli, timeoutMs: 60_000 },
    args: ['--lease-seconds', '1', '--model', model],
  }),
  log: (level, message) => {
    if (level === 'error') process.stderr.write(`${message}\n`);
  },
});
await link.connect();
let begun = false;
await link.complete({ prefix: 'const a = ', maxTokens: 4096, temperature: 0 }, () => {
  if (!begun) process.stdout.write('begun\n');
  begun = true;
});
