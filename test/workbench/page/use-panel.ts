import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import type { PanelSnapshot } from '../../../server/protocol/panel.ts';
import { chromiumPath, root } from '../harness/places.ts';
import { openWebview, serveWebview, type ThemeName, type WebviewPage } from './webview-page.ts';

/** Where the pictures go. */
export const pictures = join(root, 'test', 'output', 'webview');

export interface PanelOptions {
  theme?: ThemeName;
  width?: number;
  height?: number;
  /** What the page finds as its kept state; `{ tab: 'runs' }` opens it there. */
  kept?: unknown;
}

/**
 * The panel's page in a real browser for the tests of one file, fed with messages.
 * @returns opens a page and sends it a snapshot
 */
export function usePanel(): (snapshot: PanelSnapshot, options?: PanelOptions) => Promise<WebviewPage> {
  let browser: Browser | undefined;
  let site: Awaited<ReturnType<typeof serveWebview>> | undefined;
  let open: WebviewPage[] = [];

  beforeAll(async () => {
    mkdirSync(pictures, { recursive: true });
    site = await serveWebview();
    browser = await chromium.launch({
      executablePath: chromiumPath(),
      args: ['--no-sandbox', '--disable-gpu'],
    });
  });
  afterAll(async () => {
    await browser?.close();
    await site?.close();
  });
  // Whatever a test was about: nothing may have been refused by the policy or thrown.
  afterEach(async () => {
    const seen = open;
    open = [];
    for (const { page } of seen) await page.context().close();
    expect(seen.flatMap(({ complaints }) => complaints)).toEqual([]);
  });

  return async (snapshot, options = {}) => {
    if (browser === undefined || site === undefined) throw new Error('The browser is not open yet.');
    const made = await openWebview(browser, site.url, { theme: 'dark', width: 1000, ...options });
    open.push(made);
    await made.send({ type: 'snapshot', snapshot });
    return made;
  };
}

/** Texts of the elements that a selector finds. */
export const texts = (page: Page, selector: string) => page.locator(selector).allInnerTexts();

/** A row of the footprint's table, cell by cell, without the bars. */
export const cells = async (page: Page, part: string) =>
  (await texts(page, `.parts [data-part="${part}"] > :not(.part-bars)`)).map((text) => text.trim());

/** Where the elements are that a selector finds: two calls differ when something has moved. */
export const places = (page: Page, selector: string) =>
  page.locator(selector).evaluateAll((all) =>
    all.map((one) => {
      const { x, y, width, height } = one.getBoundingClientRect();
      return [one.className, x, y, width, height].join(' ');
    }),
  );

interface AxNode {
  role?: { value: string };
  name?: { value: string };
  ignored: boolean;
}

/** The things of a page that do something, as a screen reader is told of them: role and name. */
export async function controls(page: Page): Promise<{ role: string; name: string }[]> {
  const session = await page.context().newCDPSession(page);
  const { nodes } = (await session.send('Accessibility.getFullAXTree')) as { nodes: AxNode[] };
  const roles = [
    'button',
    'checkbox',
    'combobox',
    'grid',
    'table',
    'progressbar',
    'slider',
    'ComboBoxSelect',
    'tab',
  ];
  return nodes
    .filter((node) => !node.ignored && roles.includes(node.role?.value ?? ''))
    .map((node) => ({ role: node.role?.value ?? '', name: node.name?.value ?? '' }));
}
