import { Option, type Command } from 'commander';
import type { TaskFile, TaskResult } from '../evaluate/run-task.ts';
import { taskNames, type TaskName } from '../evaluate/tasks/index.ts';
import { OneBitError } from '../protocol/error.ts';
import { integer } from './arguments.ts';

/** Adds `--task` and `--limit`. */
export function withTaskOptions(command: Command): Command {
  return command
    .addOption(new Option('--task <name=file...>', `task and its file; tasks: ${taskNames.join(', ')}`))
    .option('--limit <n>', 'only the first n questions of each task', integer(1));
}

/** Parses `name=file`. @throws bad-request for an unknown or repeated name, or a missing file */
export function taskFiles(given: readonly string[]): TaskFile[] {
  const tasks: TaskFile[] = [];
  for (const text of given) {
    const equals = text.indexOf('=');
    const name = text.slice(0, Math.max(equals, 0)) as TaskName;
    const file = text.slice(equals + 1);
    if (!taskNames.includes(name) || file === '') {
      throw new OneBitError(
        'bad-request',
        `--task ${text}: expected NAME=FILE with a name of ${taskNames.join(', ')}.`,
      );
    }
    if (tasks.some(({ task }) => task === name)) {
      throw new OneBitError('bad-request', `--task ${name} is given twice: give one file for each task.`);
    }
    tasks.push({ task: name, file });
  }
  return tasks;
}

/** A task's result with its scores by lm-evaluation-harness' names, for JSON. */
export function taskJson({ scores, ...facts }: TaskResult): Record<string, unknown> {
  const figures = scores.flatMap(({ name, value, stderr }) => [
    [name, value],
    [`${name}_stderr`, stderr],
  ]);
  return { ...facts, ...(Object.fromEntries(figures) as Record<string, number | undefined>) };
}
