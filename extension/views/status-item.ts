import * as vscode from 'vscode';
import type { CompletionActivity } from '../completion/activity.ts';
import type { Ending } from '../panel/panel-link.ts';
import type { ServerLink } from '../server-link/server-link.ts';
import type { ServerWatch } from '../server-link/server-watch.ts';
import type { CompletionSwitches } from '../completion/completion-switches.ts';
import { statusView } from './status-state.ts';

const links = [
  ['Menu', 'onebit.showMenu'],
  ['Language on/off', 'onebit.toggleCompletionsForLanguage'],
  ['File on/off', 'onebit.toggleCompletionsForFile'],
  ['Model', 'onebit.chooseModel'],
  ['Panel', 'onebit.openPanel'],
] as const;
const linkedCommands = links.map(([, command]) => command);
const tooltipLinks = links.map(([title, command]) => `[${title}](command:${command})`).join(' · ');

/**
 * The one status bar item: shows the state. A click turns completions on or off; the tooltip leads to everything
 * else. Where something went wrong a click opens the menu instead.
 */
export class StatusItem implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem(
    'onebit.status',
    vscode.StatusBarAlignment.Right,
    100,
  );
  private readonly endings: Ending[];

  constructor(
    private readonly link: ServerLink,
    private readonly watch: ServerWatch,
    private readonly activity: CompletionActivity,
    private readonly switches: CompletionSwitches,
  ) {
    this.item.name = 'OneBit';
    const update = (): void => this.update();
    this.endings = [
      link.onDidChangeState(update),
      watch.onDidChange(update),
      activity.onDidChange(update),
      switches.onDidChange(update),
      vscode.window.onDidChangeActiveTextEditor(update),
    ];
    update();
    this.item.show();
  }

  dispose(): void {
    for (const ending of this.endings) ending.dispose();
    this.item.dispose();
  }

  private update(): void {
    const view = statusView({
      completionsOff: this.switches.off(vscode.window.activeTextEditor?.document),
      link: this.link.state,
      model: this.watch.model,
      jobs: this.watch.jobs,
      generating: this.activity.running,
      completionError: this.activity.error,
    });
    this.item.text = view.text;
    const tooltip = new vscode.MarkdownString();
    tooltip.appendText(view.tooltip.join('\n'));
    tooltip.appendMarkdown(`\n\n${tooltipLinks}`);
    tooltip.isTrusted = { enabledCommands: linkedCommands };
    this.item.tooltip = tooltip;
    this.item.command = view.isError ? 'onebit.showMenu' : 'onebit.toggleCompletions';
    this.item.backgroundColor = view.isError
      ? new vscode.ThemeColor('statusBarItem.errorBackground')
      : undefined;
    this.item.accessibilityInformation = { label: view.label, role: 'button' };
  }
}
