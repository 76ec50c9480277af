import type { ToPanel } from '../server/protocol/panel.ts';
import { Announcer } from './announcer.ts';
import { ConnectionView } from './connection-view.ts';
import { CurveView } from './curve-view.ts';
import { element, show } from './element.ts';
import { FootprintView } from './footprint-view.ts';
import { connectHost } from './host.ts';
import { JobsView } from './jobs-view.ts';
import { LayersView } from './layers-view.ts';
import { initialState, type PanelState, reduce } from './panel-state.ts';
import './page.css';
import './footprint.css';
import './jobs.css';
import './curve.css';
import './layers.css';
import { registerToolkit } from './toolkit.ts';

registerToolkit();
const host = connectHost();
let state: PanelState = initialState;
let drawn: PanelState | undefined;
let frame = 0;

const connection = new ConnectionView(host);
const content = [
  new FootprintView(host),
  new JobsView(host, schedule),
  new CurveView(host, schedule),
  new LayersView(host, schedule),
];
const body = element('div', { class: 'page-body' }, ...content.map((view) => view.element));
const announcer = new Announcer();
document.body.append(element('main', { class: 'page' }, connection.element, body), announcer.element);

window.addEventListener('message', (event: MessageEvent<ToPanel>) => {
  state = reduce(state, event.data);
  if (event.data.type === 'snapshot') askAgain();
  schedule();
});
window.addEventListener('scroll', () => {
  if (drawn?.received === true) host.keep({ scroll: window.scrollY });
});
schedule();
host.post({ type: 'ready' });

/** However many messages come, one drawing a frame. */
function schedule(): void {
  if (frame === 0) frame = requestAnimationFrame(draw);
}

function draw(): void {
  frame = 0;
  const first = drawn?.received !== true && state.received;
  connection.update(state);
  const connected = state.connection === 'connected';
  if (connected) for (const view of content) view.update(state);
  show(body, connected);
  if (drawn !== undefined) announcer.update(drawn, state);
  drawn = state;
  if (first) window.scrollTo(0, host.ui.scroll ?? 0);
}

/** After a reload of the window the extension has forgotten the layers that were on show: ask for them. */
function askAgain(): void {
  const asked = host.ui.inspect;
  const { connection: link, layers, layersError, inspecting } = state;
  if (asked === undefined || link !== 'connected') return;
  if (layers === undefined && layersError === undefined && inspecting === undefined) {
    host.post({ type: 'inspect', ...asked });
  }
}
