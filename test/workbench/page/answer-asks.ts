import type { Page } from 'playwright-core';
import { asOneBitError } from '../../../server/protocol/error.ts';
import type { InspectMatrixResult } from '../../../server/protocol/inspect.ts';
import type { LayersAsk } from '../../../server/protocol/panel-layers.ts';
import { inspectMatrix } from '../../../server/inspect/matrix.ts';
import { inspectTile } from '../../../server/inspect/tile.ts';

/**
 * Answers the questions of the Layers tab with the server's own code, as the extension and the server would.
 * @param change what a test would rather have of a matrix than what there is
 */
export async function answerAsks(
  page: Page,
  change: (matrix: InspectMatrixResult) => InspectMatrixResult = (matrix) => matrix,
): Promise<void> {
  await page.exposeFunction('answerAsk', async ({ ask, method, params }: LayersAsk) => {
    try {
      const result =
        method === 'inspect/tile'
          ? await inspectTile(params)
          : change(await inspectMatrix(params.model, params.name, params));
      return { type: 'answer', ask, result };
    } catch (caught) {
      const { code, message } = asOneBitError(caught);
      return { type: 'answerError', ask, code, message };
    }
  });
  await page.evaluate(() => {
    const { panelTest, answerAsk } = window as unknown as {
      panelTest: { posted: { type: string }[] };
      answerAsk(message: unknown): Promise<unknown>;
    };
    const { posted } = panelTest;
    posted.push = (...messages) => {
      for (const message of messages) {
        posted[posted.length] = message;
        if (message.type === 'ask') void answerAsk(message).then((answer) => window.postMessage(answer, '*'));
      }
      return posted.length;
    };
  });
}
