import { element, setText, show } from './element.ts';
import { formatCount } from './format.ts';
import type { Host } from './host.ts';
import type { PanelState } from './panel-state.ts';
import { notice } from './section.ts';
import { button, progressRing } from '../toolkit.ts';

const kindText = {
  onebit: '1-bit',
  'onebit-training': '1-bit, in training',
  full: 'full precision',
} as const;

/** The head of the panel: which model, and whether there is a server; instead of everything else when there is none. */
export class ConnectionView {
  readonly element: HTMLElement;
  private readonly model = element('p', { class: 'page-model' });
  private readonly state = element('span', { class: 'page-state' });
  private readonly notice = notice(progressRing);

  constructor(private readonly host: Host) {
    this.element = element(
      'header',
      { class: 'page-head' },
      element('div', { class: 'page-title' }, element('h1', {}, 'OneBit'), this.state),
      this.model,
      this.notice.element,
    );
  }

  update(state: PanelState): void {
    const texts = { starting: 'Starting', connected: 'Running', stopped: 'Stopped', failed: 'Failed' };
    setText(this.state, `Server: ${texts[state.connection].toLowerCase()}`);
    this.state.dataset.state = state.connection;
    const status = state.memory?.model;
    const model = status?.model;
    const parts =
      model === undefined
        ? []
        : [model.name, kindText[model.kind], `${formatCount(model.parameters)} parameters`];
    if (status !== undefined && status.active + status.queued > 0) {
      const waiting = status.queued > 0 ? `, ${status.queued} waiting` : '';
      parts.push(`${status.active} ${status.active === 1 ? 'completion' : 'completions'}${waiting}`);
    }
    setText(this.model, parts.join(' · '));
    show(this.model, state.connection === 'connected' && parts.length > 0);
    this.notice.set(this.content(state));
  }

  private content(state: PanelState): Parameters<typeof this.notice.set>[0] {
    const log = () => button('Show Log', () => this.host.post({ type: 'showLog' }));
    const start = (label: string) =>
      button(label, () => this.host.post({ type: 'startServer' }), { primary: true });
    switch (state.connection) {
      case 'starting':
        return { key: 'starting', title: 'Starting the server…', busy: true };
      case 'stopped':
        return {
          key: 'stopped',
          title: 'The server is not running',
          text: 'It starts by itself when a completion or a job needs it.',
          actions: () => [start('Start Server')],
        };
      case 'failed':
        return {
          key: 'failed',
          title: 'The server could not be reached',
          text: state.connectionError,
          tone: 'error',
          actions: () => [start('Try Again'), log()],
        };
      case 'connected':
        return undefined;
    }
  }
}
