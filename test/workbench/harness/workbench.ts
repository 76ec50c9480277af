import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium, type Browser, type FrameLocator, type Locator, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, inject } from 'vitest';
import { findServer } from '../../../extension/server-link/find-server.ts';
import { ServerClient } from '../../../extension/server-link/server-client.ts';
import { addExtension, type TestExtension } from './add-extension.ts';
import { CodeServer, makeFolders, type Folders, type Settings } from './code-server.ts';
import { chromiumPath, output, root } from './places.ts';
import { serverProcesses } from './processes.ts';

const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'];
const quiet = ['--disable-background-networking', '--disable-component-update', '--disable-sync'];

const statusItem = '.statusbar-item[id="onebit.onebit.onebit.status"]';

export interface WorkbenchOptions {
  /** Settings beside the quiet ones. */
  settings?: (folders: Folders) => Settings;
  /** Fills the workspace before it is opened. */
  prepare?: (folders: Folders) => Promise<void>;
  /** Installed beside ours. */
  extension?: TestExtension;
  /** Switches of the browser beside the usual ones. */
  browserFlags?: string[];
}

/** A real VS Code in a real browser with the packed extension, on folders of its own. */
export class Workbench {
  private constructor(
    readonly folders: Folders,
    private readonly codeServer: CodeServer,
    private readonly browser: Browser,
    readonly page: Page,
  ) {}

  static async open(options: WorkbenchOptions = {}): Promise<Workbench> {
    const { settings, prepare, extension, browserFlags = [] } = options;
    const folders = await makeFolders(settings);
    await prepare?.(folders);
    const installed = inject('extensions');
    const extensions =
      extension === undefined
        ? installed
        : await addExtension(installed, join(folders.base, 'extensions'), extension);
    const codeServer = await CodeServer.start(folders, extensions);
    const browser = await chromium.launch({
      executablePath: chromiumPath(),
      args: [...flags, ...quiet, ...browserFlags],
    });
    try {
      const page = await openPage(browser, codeServer, folders);
      return new Workbench(folders, codeServer, browser, page);
    } catch (error) {
      await Promise.all([browser.close(), codeServer.stop()]);
      throw error;
    }
  }

  /** The status bar item of the extension. */
  get status(): Locator {
    return this.page.locator(statusItem);
  }

  /** What the extension has put on the screen as notifications. */
  notification(text: string | RegExp): Locator {
    return this.page.locator('.notifications-toasts .notification-list-item', { hasText: text });
  }

  /** The one webview that is shown. */
  get webview(): FrameLocator {
    return this.page.frameLocator('iframe.webview.ready').frameLocator('iframe#active-frame');
  }

  /** Saves a picture as test/output/workbench/<name>.png. */
  async picture(name: string): Promise<void> {
    await this.page.screenshot({ path: join(output, `${name}.png`) });
  }

  /** Runs a command from the palette. */
  async command(title: string): Promise<void> {
    await this.page.keyboard.press('F1');
    await this.quickInput(`>${title}`, title);
  }

  /** Types into the quick input and takes the entry that holds `entry`. */
  async quickInput(text: string, entry: string): Promise<void> {
    const input = this.page.locator('.quick-input-widget input.input');
    await input.waitFor();
    await input.fill(text);
    await this.pick(entry);
  }

  /** Takes an entry of the open quick pick. */
  async pick(entry: string): Promise<void> {
    await this.page
      .locator('.quick-input-widget .quick-input-list .monaco-list-row', { hasText: entry })
      .first()
      .click();
  }

  /** Opens a file of the workspace's root from the explorer. */
  async openFile(name: string): Promise<void> {
    await this.page.locator('.explorer-folders-view .monaco-list-row', { hasText: name }).first().dblclick();
    await this.page.locator(`.tab.active:has-text("${name}")`).waitFor();
    await this.page.locator('.editor-instance .monaco-editor .view-lines').first().click();
  }

  /** The ghost text on the screen, which VS Code splits over several spans; empty when there is none. */
  async ghostText(): Promise<string> {
    const parts = await this.page
      .locator('.monaco-editor .ghost-text-decoration, .monaco-editor .ghost-text')
      .allTextContents();
    return parts.join('').replaceAll('\u00a0', ' ');
  }

  /**
   * Waits until there is no ghost text, then looks for a second that none comes back. VS Code takes it away a moment
   * after the key that ends it, hence no single look.
   */
  async noGhostText(): Promise<void> {
    await until('the ghost text is gone', async () => (await this.ghostText()) === '');
    for (let look = 0; look < 10; look++) {
      await sleep(100);
      const text = await this.ghostText();
      if (text !== '') throw new Error(`Ghost text came back: ${text}`);
    }
  }

  /** Opens the explorer's context menu on a folder and takes an entry. */
  async contextMenu(folder: string, entry: string, picture?: string): Promise<void> {
    await this.page.keyboard.press('Control+Shift+E');
    await this.page
      .locator('.explorer-folders-view .monaco-list-row', { hasText: folder })
      .first()
      .click({ button: 'right' });
    const item = this.page.locator('.monaco-menu .action-item', { hasText: entry }).first();
    await item.waitFor();
    if (picture !== undefined) await this.picture(picture);
    // A menu that has just opened ignores the mouse for a moment, so that the click that opened it chooses nothing.
    await until('the menu closes', async () => {
      if (await item.isVisible()) await item.click({ timeout: 1000 }).catch(() => undefined);
      return !(await item.isVisible());
    });
  }

  /** Closes the window, as a user closes the tab of the browser. */
  async closeWindow(): Promise<void> {
    await this.page.close({ runBeforeUnload: true });
    await until('the window is closed', () => this.page.isClosed());
  }

  /** Another window on the same workspace; close its page's context, not it. */
  async secondWindow(): Promise<Workbench> {
    const page = await openPage(this.browser, this.codeServer, this.folders);
    return new Workbench(this.folders, this.codeServer, this.browser, page);
  }

  async reload(): Promise<void> {
    await this.page.reload();
    await ready(this.page);
  }

  /**
   * A client of the server that the extension has started, beside the extension's own. Its user has opened what the test
   * made, and the project itself.
   */
  async client(): Promise<ServerClient> {
    const address = await findServer(this.folders.state);
    if (address === undefined) throw new Error('No server runs.');
    const client = await ServerClient.connect(address, { client: 'workbench test', version: '0' });
    await client.request('folders/set', { folders: [this.folders.base, root] });
    return client;
  }

  /** Keeps every text that notifications and the status bar item show from now on, however short. */
  async recordTexts(): Promise<void> {
    await this.page.evaluate((selectors) => {
      const seen = new Set<string>();
      const record = (): void => {
        for (const element of document.querySelectorAll(selectors)) seen.add(element.textContent ?? '');
      };
      new MutationObserver(record).observe(document.body, {
        childList: true,
        subtree: true,
        characterData: true,
      });
      record();
      Object.assign(window, { onebitSeen: seen });
    }, '.notifications-toasts .notification-list-item, .statusbar-item');
  }

  /** What `recordTexts` has kept. */
  recordedTexts(): Promise<string[]> {
    return this.page.evaluate(() => [...(window as unknown as { onebitSeen: Set<string> }).onebitSeen]);
  }

  /** Ends everything and removes the folders; kills what the extension should have ended. */
  async close(): Promise<void> {
    await this.browser.close();
    await this.codeServer.stop();
    for (const { pid } of await serverProcesses(this.folders.state)) process.kill(pid, 'SIGKILL');
    await rm(this.folders.base, { recursive: true, force: true, maxRetries: 5 });
  }
}

/**
 * Opens a workbench for the tests of one file and closes it after them; a test that fails leaves a picture.
 * @returns the workbench, once the tests run
 */
export function useWorkbench(options: WorkbenchOptions = {}): () => Workbench {
  let workbench: Workbench | undefined;
  beforeAll(async () => {
    workbench = await Workbench.open(options);
  });
  afterEach(async ({ task }) => {
    if (task.result?.state !== 'fail') return;
    await workbench?.picture(`failed-${task.name.replace(/\W+/g, '-')}`).catch(() => {});
  });
  afterAll(() => workbench?.close());
  return () => {
    if (workbench === undefined) throw new Error('The workbench is not open yet.');
    return workbench;
  };
}

async function openPage(browser: Browser, codeServer: CodeServer, folders: Folders): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-US' });
  // Long, for machines that are busy with something else: deadlines are only there to fail at last.
  context.setDefaultTimeout(200_000);
  const page = await context.newPage();
  page.on('dialog', (dialog) => void dialog.accept());
  await page.goto(`${codeServer.url}/?folder=${encodeURIComponent(folders.workspace)}`, {
    waitUntil: 'commit',
  });
  await ready(page);
  return page;
}

async function ready(page: Page): Promise<void> {
  await page.locator('.monaco-workbench .part.statusbar').waitFor();
  await page.locator('.explorer-folders-view .monaco-list').waitFor();
  // The extension is active: what is typed before that asks for nothing.
  await page.locator(statusItem).waitFor();
}

/** Waits until `condition` holds; the deadline is only there to fail at last. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 200_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`Not within ${timeoutMs / 1000} s: ${what}`);
    await sleep(100);
  }
}
