import type { Page } from 'playwright-core';
import { inspectActivations } from '../../../server/inspect/activations.ts';
import { inspectLayers } from '../../../server/inspect/layers.ts';
import { inspectMatrix } from '../../../server/inspect/matrix.ts';
import { runCheckpoints, runOf } from '../../../server/inspect/run-files.ts';
import { inspectTile } from '../../../server/inspect/tile.ts';
import { asOneBitError } from '../../../server/protocol/error.ts';
import type { InspectMatrixResult } from '../../../server/protocol/inspect.ts';
import type { LayersAsk } from '../../../server/protocol/panel-layers.ts';

/**
 * Answers the questions of the Layers tab with the server's own code, as the extension and the server would.
 * @param change what a test would rather have of a matrix than what there is
 */
export async function answerAsks(
  page: Page,
  change: (matrix: InspectMatrixResult) => InspectMatrixResult = (matrix) => matrix,
): Promise<void> {
  await page.exposeFunction('answerAsk', async (asked: LayersAsk) => {
    const { ask } = asked;
    try {
      return { type: 'answer', ask, result: await answer(asked, change) };
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

async function answer(
  { method, params }: LayersAsk,
  change: (matrix: InspectMatrixResult) => InspectMatrixResult,
): Promise<unknown> {
  switch (method) {
    case 'inspect/tile':
      return inspectTile(params);
    case 'inspect/matrix':
      return change(await inspectMatrix(params.model, params.name, params));
    case 'inspect/layers':
      return inspectLayers(params.model, params);
    case 'inspect/activations':
      return inspectActivations(params.model, params.text, params);
    case 'inspect/checkpoints': {
      const run = await runOf(params.model);
      return run === undefined ? { checkpoints: [] } : runCheckpoints(run);
    }
  }
}
