import * as vscode from 'vscode';

/** What the user has set, read anew at each use. The settings are described in package.json. */
export interface Settings {
  /** What models run on: `auto`, `cpu`, `gpu`, or `gpu:` and part of a name. */
  device: string;
  completion: {
    enabled: boolean;
    debounceMs: number;
    maxTokens: number;
    /** Language identifiers; `*` stands for all. */
    languages: readonly string[];
    inComments: boolean;
    /** Milliseconds after which what is there is shown, from the first whole line on. */
    timeBudgetMs: number;
    /** Whether the next completion is made while one is shown. */
    prefetch: boolean;
    /** Texts to choose from where completions are asked for. */
    alternatives: number;
    /** Whether other open files are read. */
    relatedFiles: boolean;
  };
  server: {
    /** A folder, or `starter`. */
    model: string;
    /** Tokens; 0 = what the model was made for. */
    contextLength: number;
    idleUnloadMinutes: number;
    /** After the last window has gone. */
    stopAfterSeconds: number;
    nodePath: string;
  };
  distill: {
    /** 0 = the server's default. */
    minutes: number;
    /** As `--backend` of `onebit distill` takes it. */
    backend: string;
    /** `auto`: by the teacher's size. */
    preset: string;
    /** What differs from the preset, as the user wrote it. */
    recipe: unknown;
  };
}

export const section = 'onebit';

export function readSettings(): Settings {
  const of = vscode.workspace.getConfiguration(section);
  return {
    device: of.get('device', 'auto').trim() || 'auto',
    completion: {
      enabled: of.get('completion.enabled', true),
      debounceMs: of.get('completion.debounceMs', 75),
      maxTokens: of.get('completion.maxTokens', 64),
      languages: of.get<string[]>('completion.languages', ['*']),
      inComments: of.get('completion.inComments', true),
      timeBudgetMs: of.get('completion.timeBudgetMs', 400),
      prefetch: of.get('completion.prefetch', true),
      alternatives: of.get('completion.alternatives', 3),
      relatedFiles: of.get('completion.relatedFiles', true),
    },
    server: {
      model: of.get('server.model', 'starter').trim() || 'starter',
      contextLength: of.get('server.contextLength', 0),
      idleUnloadMinutes: of.get('server.idleUnloadMinutes', 10),
      stopAfterSeconds: of.get('server.stopAfterSeconds', 60),
      nodePath: of.get('server.nodePath', '').trim(),
    },
    distill: {
      minutes: of.get('distill.minutes', 0),
      backend: of.get('distill.backend', 'auto').trim() || 'auto',
      preset: of.get('distill.preset', 'auto'),
      recipe: of.get('distill.recipe', {}),
    },
  };
}

/**
 * Paths that the user's own settings name: a workspace cannot write these, so that opening one never lets the server
 * read or write elsewhere.
 */
export function pathsInUserSettings(): string[] {
  const of = vscode.workspace.getConfiguration(section);
  const recipe: unknown = of.inspect('distill.recipe')?.globalValue;
  const cache = (recipe as { teacherCache?: unknown } | null | undefined)?.teacherCache;
  return [readSettings().server.model, ...(typeof cache === 'string' ? [cache] : [])];
}

/** Whether completions are wanted in documents of this language. */
export function completesLanguage(languages: readonly string[], languageId: string): boolean {
  return languages.includes('*') || languages.includes(languageId);
}
