import * as vscode from 'vscode';
import type { CompletionActivity } from '../completion/activity.ts';
import type { Ending } from '../panel/panel-link.ts';
import type { ServerLink } from '../server-link/server-link.ts';
import type { ServerWatch } from '../server-link/server-watch.ts';
import { readSettings, section } from '../settings.ts';
import { statusView } from './status-state.ts';

/** The one status bar item: shows the state, opens the menu. */
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
  ) {
    this.item.name = 'OneBit';
    this.item.command = 'onebit.showMenu';
    const update = (): void => this.update();
    this.endings = [
      link.onDidChangeState(update),
      watch.onDidChange(update),
      activity.onDidChange(update),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration(section)) update();
      }),
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
      completionsOn: readSettings().completion.enabled,
      link: this.link.state,
      model: this.watch.model,
      jobs: this.watch.jobs,
      generating: this.activity.running,
      completionError: this.activity.error,
    });
    this.item.text = view.text;
    const tooltip = new vscode.MarkdownString();
    tooltip.appendText(view.tooltip.join('\n'));
    this.item.tooltip = tooltip;
    this.item.backgroundColor = view.isError
      ? new vscode.ThemeColor('statusBarItem.errorBackground')
      : undefined;
    this.item.accessibilityInformation = { label: view.label, role: 'button' };
  }
}
