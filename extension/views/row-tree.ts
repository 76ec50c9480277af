import * as vscode from 'vscode';
import type { Ending } from '../panel/panel-link.ts';
import type { TreeRow } from './tree-rows.ts';

/** A run may report many times a second: a tree is drawn this often, in milliseconds. */
const drawInterval = 200;

export interface RowTreeOptions {
  /** Of the view in package.json. */
  id: string;
  /** What is in it now. Asked only while the view is on the screen. */
  rows(): Promise<TreeRow[]>;
  /** The view came onto the screen. */
  shown(): void;
  /** What may change the rows. */
  changes: (listener: () => void) => Ending[];
}

/** A flat tree in the activity bar that follows its source while it is on the screen, and asks for nothing while it is not. */
export class RowTree implements vscode.TreeDataProvider<TreeRow>, vscode.Disposable {
  private readonly redraw = new vscode.EventEmitter<undefined>();
  readonly onDidChangeTreeData = this.redraw.event;
  private readonly view: vscode.TreeView<TreeRow>;
  private readonly endings: Ending[];
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: RowTreeOptions) {
    this.view = vscode.window.createTreeView(options.id, { treeDataProvider: this });
    this.endings = [
      this.redraw,
      this.view,
      this.view.onDidChangeVisibility(({ visible }) => {
        if (!visible) return;
        options.shown();
        this.later();
      }),
      ...options.changes(() => this.later()),
    ];
    if (this.view.visible) options.shown();
  }

  getChildren(parent?: TreeRow): Promise<TreeRow[]> {
    return parent === undefined ? this.options.rows() : Promise.resolve([]);
  }

  getTreeItem(row: TreeRow): vscode.TreeItem {
    const item = new vscode.TreeItem(row.label, vscode.TreeItemCollapsibleState.None);
    item.id = row.id;
    item.description = row.description;
    item.tooltip = row.tooltip;
    item.iconPath = new vscode.ThemeIcon(row.icon);
    item.contextValue = row.context;
    item.accessibilityInformation = { label: row.spoken };
    return item;
  }

  dispose(): void {
    clearTimeout(this.timer);
    for (const ending of this.endings) ending.dispose();
  }

  private later(): void {
    if (!this.view.visible) return;
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.redraw.fire(undefined);
    }, drawInterval);
  }
}
