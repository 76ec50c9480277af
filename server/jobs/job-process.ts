import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, existsSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { jobVariable } from '../protocol/job.ts';
import { progressSchema, type Progress } from '../protocol/progress.ts';

/** How a command says over its standard output, while it runs as a job, why it failed. */
export const errorLineSchema = z.object({ code: z.string(), message: z.string() });

/** How to run `onebit`: a program and the arguments that come before the subcommand. */
export interface OneBitCommand {
  program: string;
  arguments: string[];
}

export interface JobExit {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** What the command itself said went wrong. */
  error?: { code: string; message: string };
}

export interface JobProcessOptions {
  command: OneBitCommand;
  arguments: string[];
  logPath: string;
  onProgress(progress: Progress): void;
}

/** Jobs give way to completions. */
const niceness = 10;
const lastWordsLines = 5;

/**
 * One job's child process. Its standard input stays open for as long as this process lives: when it
 * ends, the child stops by itself with a checkpoint (server/cli/signals.ts), so no crash of the server
 * leaves a job that nobody watches.
 */
export class JobProcess {
  readonly exit: Promise<JobExit>;
  private readonly child: ChildProcess;
  private killTimer: NodeJS.Timeout | undefined;

  constructor(options: JobProcessOptions) {
    this.child = start(options.command, options.arguments);
    this.exit = this.follow(options);
  }

  /** Undefined if it could not be started. */
  get pid(): number | undefined {
    return this.child.pid;
  }

  /** Asks the child to write its checkpoint and end; kills it if it has not ended `graceMs` later. */
  stop(graceMs: number): void {
    this.child.stdin?.end();
    // Windows knows no SIGTERM: there the end of standard input must do.
    if (process.platform !== 'win32') this.child.kill('SIGTERM');
    this.killTimer ??= setTimeout(() => this.child.kill('SIGKILL'), graceMs);
    this.killTimer.unref();
  }

  private follow(options: JobProcessOptions): Promise<JobExit> {
    const log = createWriteStream(options.logPath, { flags: 'a', mode: 0o600 });
    // A full disk costs the log, not the job.
    log.on('error', () => {});
    log.write(`$ onebit ${options.arguments.map((word) => JSON.stringify(word)).join(' ')}\n`);
    let said: JobExit['error'];
    const words: string[] = [];

    const { stdin, stdout, stderr } = this.child;
    stdin?.on('error', () => {});
    if (stdout !== null) {
      createInterface({ input: stdout }).on('line', (line) => {
        if (line.startsWith('progress ')) {
          const progress = parsed(line.slice('progress '.length), progressSchema);
          if (progress !== undefined) return options.onProgress(progress);
        }
        if (line.startsWith('error ')) said = parsed(line.slice('error '.length), errorLineSchema) ?? said;
        log.write(`${line}\n`);
      });
    }
    if (stderr !== null) {
      createInterface({ input: stderr }).on('line', (line) => {
        if (line.trim() !== '') words.push(line);
        if (words.length > lastWordsLines) words.shift();
        log.write(`${line}\n`);
      });
    }
    return new Promise<JobExit>((resolve) => {
      const end = (exit: JobExit): void => {
        clearTimeout(this.killTimer);
        log.end(`ended: ${exit.signal ?? `exit code ${exit.code}`}\n`);
        resolve(exit);
      };
      this.child.once('error', (error) => {
        end({ code: null, signal: null, error: { code: 'internal', message: error.message } });
      });
      // `close` comes when the pipes are read to their end as well.
      this.child.once('close', (code, signal) => {
        const unsaid = { code: 'internal', message: words.join('\n') || `It ended with exit code ${code}.` };
        end({ code, signal, error: code === 0 ? undefined : (said ?? unsaid) });
      });
    });
  }
}

function start(command: OneBitCommand, jobArguments: string[]): ChildProcess {
  const nice = niceProgram();
  const words = [command.program, ...command.arguments, ...jobArguments];
  if (nice !== undefined) words.unshift(nice, '-n', String(niceness));
  const [program = command.program, ...rest] = words;
  const child = spawn(program, rest, {
    stdio: ['pipe', 'pipe', 'pipe'],
    windowsHide: true,
    env: jobEnvironment(process.env),
  });
  if (nice === undefined && child.pid !== undefined) {
    try {
      setPriority(child.pid, constants.priority.PRIORITY_BELOW_NORMAL);
    } catch {
      // It only runs at normal priority then.
    }
  }
  return child;
}

/** `nice` lowers the process before its first thread starts; a priority set later misses threads already made. */
function niceProgram(): string | undefined {
  return ['/usr/bin/nice', '/bin/nice'].find((path) => existsSync(path));
}

/** The job's environment. The server's token is in no variable, so none has to be taken out. */
function jobEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return {
    ...environment,
    [jobVariable]: '1',
    ...(process.versions.electron === undefined ? {} : { ELECTRON_RUN_AS_NODE: '1' }),
  };
}

function parsed<T>(text: string, schema: z.ZodType<T>): T | undefined {
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
