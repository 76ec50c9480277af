import { expect } from 'vitest';
import { readServerFile } from '../../../extension/server-link/find-server.ts';
import type { ServerClient } from '../../../extension/server-link/server-client.ts';
import { until, type Workbench } from './workbench.ts';

/** What the server was asked, as its metrics and its status say. */
export class Generations {
  private constructor(
    private readonly workbench: Workbench,
    readonly client: ServerClient,
  ) {}

  /** Starts the server with the model. Close its client when done. */
  static async watch(workbench: Workbench): Promise<Generations> {
    await workbench.command('OneBit: Start Server');
    await until('the model is there', async () => (await workbench.status.innerText()).trim() === 'OneBit');
    return new Generations(workbench, await workbench.client());
  }

  /** Tokens of all prompts so far. */
  async promptTokens(): Promise<number> {
    return Number(/^onebit_tokens_total\{kind="prompt"\} (\d+)$/m.exec(await this.metrics())?.[1] ?? 0);
  }

  /** Waits until nothing runs, and nothing new has been asked for a while. @returns completions that have ended so far */
  async calm(): Promise<number> {
    let before = -1;
    await until('the server is calm', async () => {
      const { active, queued } = await this.client.request('model/status', {});
      const now = await this.ended();
      const same = active + queued === 0 && now === before;
      before = now;
      if (!same) await new Promise((resolve) => setTimeout(resolve, 500));
      return same;
    });
    return before;
  }

  /** Waits for the next completion to end. @param before what `calm` said */
  async another(before: number): Promise<void> {
    await until('the model was asked', async () => (await this.ended()) > before);
    expect(await this.calm()).toBeGreaterThan(before);
  }

  private async ended(): Promise<number> {
    const outcomes = (await this.metrics()).matchAll(/^onebit_completions_total\{outcome="\w+"\} (\d+)$/gm);
    return [...outcomes].reduce((sum, [, count]) => sum + Number(count), 0);
  }

  private async metrics(): Promise<string> {
    const server = await readServerFile(this.workbench.folders.state);
    const response = await fetch(`http://127.0.0.1:${server?.port}/metrics`, {
      headers: { authorization: `Bearer ${server?.token}` },
    });
    return response.text();
  }
}
