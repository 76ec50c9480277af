import type { JobSpec } from '../protocol/job.ts';

/** A path that a client names, and what is done with it. */
export interface NamedPath {
  field: string;
  path: string;
  use: 'read' | 'write';
}

/** Every path in a job's spec. */
export function namedPaths(spec: JobSpec): NamedPath[] {
  const read = (field: string, ...paths: (string | undefined)[]): NamedPath[] =>
    paths.flatMap((path) => (path === undefined ? [] : [{ field, path, use: 'read' as const }]));
  const write = (field: string, path: string | undefined): NamedPath[] =>
    path === undefined ? [] : [{ field, path, use: 'write' }];
  switch (spec.kind) {
    case 'quantize':
      return [...read('model', spec.model), ...write('output', spec.output)];
    case 'distill':
      return [
        ...read('teacher', spec.teacher),
        ...read('student', spec.student),
        ...read('data', ...spec.data),
        ...write('output', spec.output),
        ...write('teacherCache', spec.teacherCache),
      ];
    case 'evaluate':
      return [
        ...read('teacher', spec.teacher),
        ...read('students', ...(spec.students ?? [])),
        ...read('text', spec.text),
        ...Object.entries(spec.tasks ?? {}).flatMap(([task, file]) => read(`tasks.${task}`, file)),
      ];
  }
}
