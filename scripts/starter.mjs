// Makes the starter models that the product ships (server/starter/): a code teacher by `onebit train`,
// its 1-bit student by `onebit distill`, and their model card. Both runs resume when this is run again.
//
//   npm run starter -- --data train.jsonl.gz --held-out valid.jsonl.gz [--card card.json]
//     [--work folder] [--teacher-minutes 72] [--student-minutes 100]
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const starter = join(root, 'server', 'starter');
const { values } = parseArgs({
  options: {
    data: { type: 'string' },
    'held-out': { type: 'string' },
    card: { type: 'string' },
    work: { type: 'string', default: join(root, 'test', 'output', 'starter') },
    'teacher-minutes': { type: 'string', default: '72' },
    'student-minutes': { type: 'string', default: '100' },
  },
});
if (values.data === undefined || values['held-out'] === undefined) {
  console.error('Usage: npm run starter -- --data FILE --held-out FILE [--card FILE] [--work FOLDER]');
  process.exit(2);
}
const work = resolve(values.work);
mkdirSync(work, { recursive: true });
const text = ['--data', resolve(values.data), '--held-out', resolve(values['held-out'])];

const teacherOptions = [
  ...'--hidden 256 --ffn 608 --layers 6 --heads 8 --kv-heads 4 --positions 512'.split(' '),
  ...'--batch 4 --micro-batch 4 --learning-rate 0.002 --floor 0.02 --warmup 150'.split(' '),
  ...'--measurements 8 --infill-rate 0.5'.split(' '),
];
const studentOptions = '--preset small --measurements 8 --infill-rate 0'.split(' ');
const teacher = onebit('train', [
  ...[...text, '--tokenizer', join(starter, 'teacher'), '--output', join(work, 'teacher')],
  ...['--minutes', values['teacher-minutes'], ...teacherOptions],
]);
const student = onebit('distill', [
  ...[...text, '--teacher', join(work, 'teacher'), '--output', join(work, 'student')],
  ...['--minutes', values['student-minutes'], ...studentOptions],
]);
for (const name of ['teacher', 'student']) {
  rmSync(join(starter, name), { recursive: true, force: true });
  cpSync(join(work, name), join(starter, name), { recursive: true });
}
// A model this small loses the thread between the gap's two sides: the student learns to continue text, and
// completes from the prefix alone.
const tokenizerConfig = join(starter, 'student', 'tokenizer_config.json');
const said = JSON.parse(readFileSync(tokenizerConfig, 'utf8'));
writeFileSync(tokenizerConfig, `${JSON.stringify({ ...said, infill: false }, null, 2)}\n`);
writeFileSync(join(starter, 'MODEL_CARD.md'), modelCard());
console.log(readFileSync(join(starter, 'MODEL_CARD.md'), 'utf8').split('## Data')[0]);

/** Runs a command with its progress on this terminal; returns the result on its last line. */
function onebit(command, options) {
  const program = join(root, 'dist', 'onebit.mjs');
  if (!existsSync(program)) throw new Error('dist/onebit.mjs is not built: npm run build');
  const { status, stdout } = spawnSync(process.execPath, [program, command, ...options, '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  });
  if (status !== 0) process.exit(status ?? 1);
  return JSON.parse(stdout.trim().split('\n').at(-1));
}

function modelCard() {
  const size = (name) => `${(statSync(join(starter, name, 'model.safetensors')).size / 1e6).toFixed(2)} MB`;
  const config = JSON.parse(readFileSync(join(starter, 'teacher', 'config.json'), 'utf8'));
  const { recipe } = JSON.parse(readFileSync(join(starter, 'student', 'onebit.json'), 'utf8'));
  const round = (x) => Number(x.toPrecision(4));
  const minutes = (seconds) => `${Math.round(seconds / 60)} minutes`;
  const ppl = student.perplexity;
  return `# Starter models

Small models of TypeScript and JavaScript that come with OneBit, so that completions work offline right after
installation. They were trained by this project's own commands from random weights; no other model's weights or
output went into them.

| | teacher | student |
|---|---|---|
| what | LlamaForCausalLM, fp16 | its 1-bit OneBit student |
| weights | ${size('teacher')} | ${size('student')} |
| made by | \`onebit train\` | \`onebit distill\` |
| steps | ${teacher.steps} | ${student.steps} |
| tokens | ${millions(teacher.tokens)} | ${millions(student.tokens)} |
| time | ${minutes(teacher.seconds)} | ${minutes(student.seconds)} |
| loss | language model | KL ${recipe.klWeight} · hidden states ${round(recipe.hiddenWeight)} · language model ${recipe.lmWeight} |
| held-out perplexity | ${ppl.teacher.toFixed(2)} | ${ppl.student.toFixed(2)} (SVID alone: ${ppl.start.toFixed(0)}) |

Shape: ${(teacher.parameters / 1e6).toFixed(2)} M parameters, hidden ${config.hidden_size}, FFN ${config.intermediate_size}, ${config.num_hidden_layers} layers,
${config.num_attention_heads} heads, ${config.num_key_value_heads} key/value heads, tied embeddings, ${config.max_position_embeddings} positions; byte-level BPE of ${config.vocab_size}
entries with fill-in-the-middle tokens. Half of the teacher's text was rearranged for infilling (prefix, suffix,
middle), none of the student's.
Held-out perplexity is measured on 24 windows of 512 tokens of packages' files that no training saw, nothing
rearranged.

They know common patterns of code, not facts: expect completions of a few tokens to a line, and check them.
Models of this size infill badly, so the student learned to continue text: its tokenizer_config.json says
\`"infill": false\`, and completions go from what is before the cursor.

## How to make them again

    npm run starter -- --data train.jsonl.gz --held-out valid.jsonl.gz --card card.json

The data files are lines of \`{"path", "text"}\`. Options of the two runs:

    onebit train ${teacherOptions.join(' ')} --minutes ${values['teacher-minutes']}
    onebit distill ${studentOptions.join(' ')} --minutes ${values['student-minutes']}

## Data

${packages()}`;
}

/** The list of packages whose sources were trained on, with their licences. */
function packages() {
  if (values.card === undefined) return 'The data came without a list of its packages.\n';
  const list = JSON.parse(readFileSync(resolve(values.card), 'utf8'));
  const bytes = list.reduce((sum, each) => sum + each.bytes, 0);
  const rows = list.map(
    (each) => `| ${each.package} | ${each.version} | ${each.license} | ${each.files} | ${each.bytes} |`,
  );
  return `Sources of ${list.length} permissively licensed npm packages, ${(bytes / 1e6).toFixed(1)} MB; some files were held out.

| package | version | licence | files | bytes |
|---|---|---|---|---|
${rows.join('\n')}
`;
}

function millions(n) {
  return `${(n / 1e6).toFixed(2)} M`;
}
