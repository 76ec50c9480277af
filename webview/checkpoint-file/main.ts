import type { TensorColumn, TensorRow } from '../../server/protocol/checkpoint-file.ts';
import type { TensorQuery, ToFilePage } from '../../server/protocol/checkpoint-file-page.ts';
import { element, setText, show } from '../page/element.ts';
import { formatInteger } from '../page/format.ts';
import { notice, section } from '../page/section.ts';
import { button, progressRing, registerToolkit } from '../toolkit.ts';
import { connectFileHost } from './file-host.ts';
import { fileNotice, initialState, reduce, type FileState } from './file-state.ts';
import { MetadataView } from './metadata-view.ts';
import { StatisticsView } from './statistics-view.ts';
import { SummaryView } from './summary-view.ts';
import { TensorGrid } from './tensor-grid.ts';
import '../page/page.css';
import './checkpoint-file.css';

/** Milliseconds without a keystroke before a search is sent. */
const searchPause = 150;

registerToolkit();
const host = connectFileHost();
let state: FileState = initialState;
let query: TensorQuery = host.choices.query ?? { search: '', sort: 'position', descending: false };
let begun = false;
let frame = 0;
let pause: ReturnType<typeof setTimeout> | undefined;

const summary = new SummaryView({
  quantize: () => host.post({ type: 'quantize' }),
  inspect: () => host.post({ type: 'inspect' }),
});
const problem = notice(progressRing);
/** For screen readers, while the file's own heading is not there. */
const heading = element('h1', { class: 'sr-only' }, 'Checkpoint file');
const search = element('input', {
  type: 'search',
  class: 'search',
  placeholder: 'Search tensors',
  'aria-label': 'Search tensors by name, type or shape',
  maxlength: '200',
});
search.value = query.search;
const found = element('p', { class: 'note', role: 'status' });
const grid = new TensorGrid(query, host.choices.row ?? 0, {
  ask: (of, from, count) => host.post({ type: 'tensors', query: of, from, count }),
  sort,
  choose,
  open: (tensor) => {
    choose(tensor);
    compute(tensor.name);
  },
  scrolled: (row) => host.keep({ row }),
});
const values = new StatisticsView({ compute, cancel: () => host.post({ type: 'cancelStatistics' }) });
const metadata = new MetadataView();
const tensors = section('Tensors', 'tensors');
tensors.tools.append(search);
tensors.body.append(found, grid.element);
const content = element(
  'div',
  { class: 'file-content' },
  summary.element,
  element('div', { class: 'file-columns' }, tensors.element, values.element),
  metadata.element,
);
document.body.append(element('main', { class: 'page file-page' }, heading, problem.element, content));

search.addEventListener('input', () => {
  clearTimeout(pause);
  pause = setTimeout(() => ask({ ...query, search: search.value.trim() }), searchPause);
});
search.addEventListener('keydown', (event) => {
  if (event.key === 'ArrowDown') grid.element.querySelector<HTMLElement>('[role="grid"]')?.focus();
});

window.addEventListener('message', (event: MessageEvent<ToFilePage>) => {
  const message = event.data;
  state = reduce(state, message);
  if (message.type === 'summary') {
    // Read again, perhaps because the file has changed: the list begins where it was.
    grid.show(query, begun ? 0 : (host.choices.row ?? 0));
    begun = true;
  }
  if (message.type === 'tensors') {
    grid.add(message.query, message.tensors);
    const { total } = message.tensors;
    setText(found, query.search === '' ? '' : `${formatInteger(total)} found`);
  }
  schedule();
});
schedule();
host.post({ type: 'ready' });

/** By another column; by the same once more: the other way round, then the file's own order. */
function sort(column: TensorColumn): void {
  if (query.sort !== column) ask({ ...query, sort: column, descending: false });
  else if (!query.descending) ask({ ...query, descending: true });
  else ask({ ...query, sort: 'position', descending: false });
}

function ask(next: TensorQuery): void {
  query = next;
  host.keep({ query, row: 0 });
  grid.show(query);
}

function choose(tensor: TensorRow): void {
  if (state.chosen?.name === tensor.name) return;
  if (state.statistics.state === 'reading') host.post({ type: 'cancelStatistics' });
  state = { ...state, chosen: tensor, statistics: { state: 'none' } };
  schedule();
}

function compute(name: string): void {
  state = { ...state, statistics: { state: 'reading' } };
  host.post({ type: 'statistics', name });
  schedule();
}

function schedule(): void {
  if (frame === 0) frame = requestAnimationFrame(draw);
}

function draw(): void {
  frame = 0;
  const trouble = fileNotice(state);
  problem.set(
    trouble && {
      ...trouble,
      actions: () => trouble.buttons.map(({ label, message }) => button(label, () => host.post(message))),
    },
  );
  show(heading, trouble !== undefined);
  show(content, trouble === undefined);
  if (state.summary === undefined || trouble !== undefined) return;
  summary.update(state.summary);
  metadata.update(state.summary);
  values.update(state.chosen, state.statistics);
}
