import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import type { AddressInfo } from 'node:net';
import type { Browser, Page } from 'playwright-core';
import type { FromPanel, ToPanel } from '../../../server/protocol/panel.ts';
import { panelHtml } from '../../../extension/panel/panel-html.ts';

export type ThemeName = 'dark' | 'light' | 'hc-black' | 'hc-light';

interface Theme {
  className: string;
  variables: Record<string, string>;
}

const root = join(import.meta.dirname, '..', '..', '..');
/** The theme variables as VS Code 1.139 writes them into a webview, those that the panel uses. */
const themes = JSON.parse(readFileSync(join(import.meta.dirname, 'themes.json'), 'utf8')) as Record<
  ThemeName,
  Theme
>;

/**
 * Serves a page with its own policy, as VS Code does.
 * @param name of its script and style in dist/: `webview` is the panel
 */
export async function serveWebview(name = 'webview'): Promise<{ url: string; close: () => Promise<void> }> {
  const server: Server = createServer((request, response) => {
    const send = (type: string, body: string | Buffer) => {
      response.setHeader('content-type', type);
      response.end(body);
    };
    switch (request.url) {
      case '/':
        return send(
          'text/html',
          panelHtml({ script: `/${name}.js`, style: `/${name}.css`, cspSource: "'self'", nonce: 'abc123' }),
        );
      case `/${name}.js`:
        return send('text/javascript', readFileSync(join(root, 'dist', `${name}.js`)));
      case `/${name}.css`:
        return send('text/css', readFileSync(join(root, 'dist', `${name}.css`)));
      default:
        response.statusCode = 404;
        return response.end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

export interface WebviewPage<To = ToPanel, From = FromPanel> {
  page: Page;
  /** Errors and refusals that the browser's console showed. */
  complaints: string[];
  /** Posts messages as the extension would, and waits until they are drawn. */
  send(...messages: To[]): Promise<void>;
  /** What the page has posted so far. */
  posted(): Promise<From[]>;
  /** What it would find after a reload. */
  kept(): Promise<unknown>;
}

/** Opens a page with a stand-in for VS Code's side of it. */
export async function openWebview<To = ToPanel, From = FromPanel>(
  browser: Browser,
  url: string,
  options: { theme: ThemeName; width: number; height?: number; kept?: unknown },
): Promise<WebviewPage<To, From>> {
  const context = await browser.newContext({
    viewport: { width: options.width, height: options.height ?? 900 },
    locale: 'en-US',
    timezoneId: 'UTC',
  });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    // The pixels are read by the test, not by the panel.
    const ours = !message.text().startsWith('Canvas2D: Multiple readback operations');
    if (ours && ['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.addInitScript(
    ({ theme, kept }) => {
      const seen = { posted: [] as unknown[], kept: kept as unknown };
      Object.assign(window, {
        panelTest: seen,
        acquireVsCodeApi: () => ({
          postMessage: (message: unknown) => seen.posted.push(message),
          getState: () => seen.kept,
          setState: (state: unknown) => (seen.kept = state),
        }),
      });
      // The document has no elements yet: the theme goes in as soon as it has a body.
      new MutationObserver((_, observer) => {
        if (document.body === null) return;
        for (const [name, value] of Object.entries(theme.variables)) {
          document.documentElement.style.setProperty(name, value);
        }
        document.body.className = theme.className;
        observer.disconnect();
      }).observe(document, { childList: true, subtree: true });
    },
    { theme: themes[options.theme], kept: options.kept },
  );
  await page.goto(url);
  await page.waitForSelector('.page');
  const seen = <T>(key: 'posted' | 'kept') =>
    page.evaluate((k) => (window as unknown as { panelTest: Record<string, T> }).panelTest[k] as T, key);
  return {
    page,
    complaints,
    send: async (...messages) => {
      await page.evaluate(async (all) => {
        for (const message of all) window.postMessage(message, '*');
        // Two frames: one to receive and ask for a drawing, one to draw.
        await new Promise((resolve) => setTimeout(resolve, 0));
        for (let i = 0; i < 2; i++) await new Promise((resolve) => requestAnimationFrame(resolve));
      }, messages);
    },
    posted: () => seen<From[]>('posted'),
    kept: () => seen<unknown>('kept'),
  };
}
