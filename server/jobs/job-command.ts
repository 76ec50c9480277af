import { isAbsolute, join, resolve } from 'node:path';
import { modelFolder } from '../checkpoint/starter.ts';
import { OneBitError } from '../protocol/error.ts';
import { defaultRunFolder, reportName, type JobSpec } from '../protocol/job.ts';
import { flagOf, recipeSchema } from '../protocol/recipe.ts';

/**
 * The spec with its paths in full: names of shipped models become their folders.
 * @throws bad-request for a relative path: the server's working folder is not the client's
 */
export function resolveSpec(spec: JobSpec): JobSpec {
  const model = (field: string, path: string): string => full(field, modelFolder(path));
  if (spec.kind === 'evaluate') {
    const tasks = Object.entries(spec.tasks ?? {}).map(([task, file]) => [task, full(task, file)]);
    return {
      ...spec,
      teacher: model('teacher', spec.teacher),
      students: spec.students?.map((student) => model('students', student)),
      text: spec.text === undefined ? undefined : full('text', spec.text),
      tasks: spec.tasks === undefined ? undefined : (Object.fromEntries(tasks) as Record<string, string>),
    };
  }
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

/**
 * The `onebit` command, with its arguments, that does the job.
 * @param folder the job's own, where an evaluation's report goes
 */
export function jobArguments(spec: JobSpec, folder: string): string[] {
  const progress = ['--progress', 'json'];
  if (spec.kind === 'quantize') {
    return ['quantize', '--model', spec.model, '--output', spec.output, ...progress];
  }
  if (spec.kind === 'evaluate') return evaluationArguments(spec, folder, progress);
  const optional: Optional = [
    ['--run', runFolder(spec)],
    ['--student', spec.student],
    ['--steps', spec.steps],
    ['--minutes', spec.minutes],
    ['--window', spec.window],
    ['--seed', spec.seed],
    ['--teacher-cache', spec.teacherCache],
    ['--teacher-cache-top', spec.teacherCacheTop],
    ['--teacher-cache-windows', spec.teacherCacheWindows],
    ['--backend', spec.backend],
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
    ...given(optional),
    ...progress,
  ];
}

type Optional = (readonly [string, string | number | undefined])[];

function given(optional: Optional): string[] {
  return optional.flatMap(([name, value]) => (value === undefined ? [] : [name, String(value)]));
}

function evaluationArguments(
  spec: Extract<JobSpec, { kind: 'evaluate' }>,
  folder: string,
  progress: readonly string[],
): string[] {
  const { students = [], baselines, tasks = {} } = spec;
  const files = Object.entries(tasks).map(([task, file]) => `${task}=${file}`);
  const optional: Optional = [
    ['--text', spec.text],
    ['--window', spec.window],
    ['--stride', spec.stride],
    ['--max-tokens', spec.maxTokens],
    ['--limit', spec.limit],
  ];
  return [
    ...['compare', '--teacher', spec.teacher],
    ...(students.length === 0 ? [] : ['--students', ...students]),
    ...(baselines === undefined ? [] : ['--baselines', ...(baselines.length === 0 ? ['none'] : baselines)]),
    ...given(optional),
    ...(files.length === 0 ? [] : ['--task', ...files]),
    ...['--output', join(folder, reportName)],
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
