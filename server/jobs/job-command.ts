import { isAbsolute, resolve } from 'node:path';
import { modelFolder } from '../checkpoint/starter.ts';
import { OneBitError } from '../protocol/error.ts';
import { defaultRunFolder, type JobSpec } from '../protocol/job.ts';
import { flagOf, recipeSchema } from '../protocol/recipe.ts';

/**
 * The spec with its paths in full: names of shipped models become their folders.
 * @throws bad-request for a relative path: the server's working folder is not the client's
 */
export function resolveSpec(spec: JobSpec): JobSpec {
  const model = (field: string, path: string): string => full(field, modelFolder(path));
  const output = full('output', spec.output);
  if (spec.kind === 'quantize') return { ...spec, model: model('model', spec.model), output };
  return {
    ...spec,
    teacher: model('teacher', spec.teacher),
    student: spec.student === undefined ? undefined : model('student', spec.student),
    teacherCache: spec.teacherCache === undefined ? undefined : full('teacherCache', spec.teacherCache),
    data: spec.data.map((path) => full('data', path)),
    output,
  };
}

function full(field: string, path: string): string {
  if (!isAbsolute(path)) {
    throw new OneBitError('bad-request', `${field}: "${path}" is a relative path. Give an absolute one.`);
  }
  return resolve(path);
}

/** The `onebit` command, with its arguments, that does the job. */
export function jobArguments(spec: JobSpec): string[] {
  const progress = ['--progress', 'json'];
  if (spec.kind === 'quantize') {
    return ['quantize', '--model', spec.model, '--output', spec.output, ...progress];
  }
  const optional: (readonly [string, string | number | undefined])[] = [
    ['--run', runFolder(spec)],
    ['--student', spec.student],
    ['--steps', spec.steps],
    ['--minutes', spec.minutes],
    ['--window', spec.window],
    ['--seed', spec.seed],
    ['--teacher-cache', spec.teacherCache],
    ['--teacher-cache-top', spec.teacherCacheTop],
    ['--teacher-cache-windows', spec.teacherCacheWindows],
    ['--preset', spec.preset],
    ...recipeSchema.keyof().options.map((field) => [flagOf(field), spec[field]] as const),
  ];
  return [
    'distill',
    '--teacher',
    spec.teacher,
    ...['--data', ...spec.data],
    '--output',
    spec.output,
    ...optional.flatMap(([name, value]) => (value === undefined ? [] : [name, String(value)])),
    ...progress,
  ];
}

/**
 * The folder of a job's training run, with its checkpoints and its own metrics.jsonl: beside the output, so
 * that a later job with the same output continues the run.
 */
export function runFolder(spec: JobSpec): string | undefined {
  return spec.kind === 'distill' ? defaultRunFolder(spec.output) : undefined;
}
