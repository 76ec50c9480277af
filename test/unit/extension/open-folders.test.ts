import { expect, test } from 'vitest';
import { OpenFolders, type FolderMemory } from '../../../extension/server-link/open-folders.ts';
import { maxFolders } from '../../../server/protocol/methods.ts';

function memory(): FolderMemory {
  const kept = new Map<string, unknown>();
  return {
    get: <T>(key: string, fallback: T) => (kept.has(key) ? (kept.get(key) as T) : fallback),
    update: (key, value) => {
      kept.set(key, value);
      return Promise.resolve();
    },
  };
}

test('the folders of the window, what the settings name and what was chosen, each once', async () => {
  let open = ['/code/a'];
  const folders = new OpenFolders(
    () => open,
    () => ['starter', '/models/mine'],
    memory(),
  );
  expect(folders.all()).toEqual(['/code/a', '/models/mine']);
  await folders.choose(['/elsewhere/teacher', '/code/a', 'starter']);
  expect(folders.all()).toEqual(['/code/a', '/models/mine', '/elsewhere/teacher']);
  open = ['/code/a', '/code/b'];
  expect(folders.all()).toContain('/code/b');
});

test('choices are kept for the next session of the window, the latest ones', async () => {
  const kept = memory();
  const none = (): string[] => [];
  const first = new OpenFolders(none, none, kept);
  for (let i = 0; i < 300; i++) await first.choose([`/chosen/${i}`]);
  await first.choose(['/chosen/150']);
  const second = new OpenFolders(none, none, kept);
  expect(second.all()).toHaveLength(200);
  expect(second.all()).toContain('/chosen/299');
  expect(second.all()).toContain('/chosen/150');
  expect(second.all()).not.toContain('/chosen/50');
  const many = new OpenFolders(() => Array.from({ length: 1000 }, (_, i) => `/open/${i}`), none, kept);
  expect(many.all()).toHaveLength(maxFolders);
});

test('those who listen hear of a change, and of nothing else', async () => {
  const none = (): string[] => [];
  const folders = new OpenFolders(none, none, memory());
  let heard = 0;
  const listening = folders.onDidChange(() => heard++);
  await folders.choose(['/a']);
  await folders.choose(['/a']);
  await folders.choose(['starter']);
  expect(heard).toBe(1);
  folders.changed();
  expect(heard).toBe(2);
  listening.dispose();
  await folders.choose(['/b']);
  expect(heard).toBe(2);
});
