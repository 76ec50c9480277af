import type * as vscode from 'vscode';
import type { CompletionSwitches } from '../completion/completion-switches.ts';
import type { ModelLoader } from '../server-link/model-loader.ts';
import type { OpenFolders } from '../server-link/open-folders.ts';
import type { ServerLink } from '../server-link/server-link.ts';
import type { ServerWatch } from '../server-link/server-watch.ts';
import type { JobFollower } from './job-follower.ts';

/** What the commands of one window work with. */
export interface WindowParts {
  link: ServerLink;
  folders: OpenFolders;
  watch: ServerWatch;
  models: ModelLoader;
  switches: CompletionSwitches;
  jobs: JobFollower;
  /** Brings the panel to the front and reads the layers of a model. @param model its id */
  showLayers(model: string): void;
  log: vscode.LogOutputChannel;
}
