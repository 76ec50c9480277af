import { join } from 'node:path';
import * as vscode from 'vscode';
import { reportName } from '../../server/protocol/job.ts';

/** Shows what an evaluation found as VS Code shows Markdown. @param folder the job's */
export async function showReport(folder: string): Promise<void> {
  const report = vscode.Uri.file(join(folder, `${reportName}.md`));
  await vscode.commands.executeCommand('markdown.showPreview', report);
}
