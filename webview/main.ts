import type { ToPanel } from '../server/protocol/panel.ts';
import { FootprintView } from './footprint/footprint-view.ts';
import { LayersView } from './layers/layers-view.ts';
import { Announcer } from './page/announcer.ts';
import { ConnectionView } from './page/connection-view.ts';
import { element, show } from './page/element.ts';
import { connectHost } from './page/host.ts';
import { initialState, type PanelState, reduce } from './page/panel-state.ts';
import { Tabs, tabIds } from './page/tabs.ts';
import { CurveView } from './runs/curve-view.ts';
import { JobsView } from './runs/jobs-view.ts';
import { registerToolkit } from './toolkit.ts';
import './page/page.css';
import './page/tabs.css';
import './footprint/footprint.css';
import './runs/jobs.css';
import './runs/curve.css';
import './layers/layers.css';
import './layers/layer-map.css';
import './layers/matrix.css';
import './layers/charts.css';

registerToolkit();
const host = connectHost();
let state: PanelState = initialState;
let drawn: PanelState | undefined;
let frame = 0;
/** The tab whose place on the page is to be restored with the next drawing. */
let arriving = true;

const connection = new ConnectionView(host);
const tabs = new Tabs(
  [
    { id: 'footprint', label: 'Footprint', views: [new FootprintView(host)] },
    { id: 'runs', label: 'Runs', views: [new JobsView(host, schedule), new CurveView(host, schedule)] },
    { id: 'layers', label: 'Layers', views: [new LayersView(host, schedule)] },
  ],
  tabIds.find((id) => id === host.ui.tab) ?? 'footprint',
  (tab) => {
    host.keep({ tab });
    arriving = true;
    schedule();
  },
);
const announcer = new Announcer();
document.body.append(
  element('main', { class: 'page' }, connection.element, tabs.list, tabs.panels),
  announcer.element,
);

window.addEventListener('message', (event: MessageEvent<ToPanel>) => {
  state = reduce(state, event.data);
  if (event.data.type === 'showLayers') tabs.choose('layers');
  schedule();
});
window.addEventListener('scroll', () => {
  if (drawn?.received !== true || arriving) return;
  host.keep({ scroll: { ...host.ui.scroll, [tabs.current]: window.scrollY } });
});
schedule();
host.post({ type: 'ready' });

/** However many messages come, one drawing a frame; none while the page is hidden. */
function schedule(): void {
  if (frame === 0) frame = requestAnimationFrame(draw);
}

function draw(): void {
  frame = 0;
  connection.update(state);
  const connected = state.connection === 'connected';
  if (connected) tabs.update(state);
  show(tabs.list, connected);
  show(tabs.panels, connected);
  if (drawn !== undefined) announcer.update(drawn, state);
  drawn = state;
  if (arriving && state.received) {
    window.scrollTo(0, host.ui.scroll?.[tabs.current] ?? 0);
    arriving = false;
  }
}
