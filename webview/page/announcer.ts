import { element } from './element.ts';
import { jobStateText, jobTitle } from '../runs/job-text.ts';
import type { PanelState } from './panel-state.ts';

/** Tells screen readers what changed: a job that ended, the server that went away. Not seen. */
export class Announcer {
  readonly element = element('div', { class: 'sr-only', role: 'status', 'aria-live': 'polite' });

  update(before: PanelState, after: PanelState): void {
    if (!before.received) return;
    const news: string[] = [];
    if (before.connection !== after.connection) {
      const texts = {
        starting: 'The server is starting.',
        connected: 'The server is running.',
        stopped: 'The server has stopped.',
        failed: 'The server could not be reached.',
      };
      news.push(texts[after.connection]);
    }
    for (const job of after.jobs) {
      const old = before.jobs.find((one) => one.id === job.id);
      if (old !== undefined && old.state !== job.state)
        news.push(`${jobTitle(job)}: ${jobStateText[job.state]}.`);
    }
    if (before.inspecting !== undefined && after.inspecting === undefined) {
      news.push(after.layersError === undefined ? 'The layers have been read.' : after.layersError);
    }
    if (news.length > 0) this.element.textContent = news.join(' ');
  }
}
