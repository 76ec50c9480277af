import type { CDPSession, Frame, Page } from 'playwright-core';

/** What a webview takes, after all that is garbage has been collected. */
export interface FrameMemory {
  /** Bytes of JavaScript that the browser counts for the webview's own frame. */
  frameBytes: number;
  /** Bytes of JavaScript of the whole process: the workbench shares it with the webview. */
  processBytes: number;
  /** Elements in the webview's document. */
  elements: number;
  /** DOM nodes and event listeners of the whole process. */
  nodes: number;
  listeners: number;
}

/** The switch with which chromium says what a frame takes, to pages that are not isolated from others too. */
export const memoryFlag = '--disable-web-security';

interface Breakdown {
  breakdown: { bytes: number; attribution: { url: string }[] }[];
}

/** The document that a webview's content is in. */
export async function innerFrame(page: Page): Promise<Frame> {
  const element = await page
    .frameLocator('iframe.webview.ready')
    .locator('iframe#active-frame')
    .elementHandle();
  const frame = await element?.contentFrame();
  if (frame === null || frame === undefined) throw new Error('There is no webview.');
  return frame;
}

/** Reads what the webview's frame takes; collects garbage first, so this stops the page for a moment. */
export async function readFrameMemory(page: Page, cdp: CDPSession): Promise<FrameMemory> {
  const frame = await innerFrame(page);
  await cdp.send('HeapProfiler.collectGarbage');
  const { usedSize } = await cdp.send('Runtime.getHeapUsage');
  const { nodes, jsEventListeners } = await cdp.send('Memory.getDOMCounters');
  // The browser answers at its next collection.
  const asked = page.evaluate(async () => {
    const { performance: timing } = window as unknown as {
      performance: { measureUserAgentSpecificMemory(): Promise<Breakdown> };
    };
    return timing.measureUserAgentSpecificMemory();
  });
  const [{ breakdown }] = await Promise.all([asked, cdp.send('HeapProfiler.collectGarbage')]);
  const own = breakdown.filter(({ attribution }) => attribution.some(({ url }) => url === frame.url()));
  if (own.length === 0) {
    throw new Error(`The browser counts nothing for ${frame.url()}: ${JSON.stringify(breakdown)}`);
  }
  return {
    frameBytes: own.reduce((sum, { bytes }) => sum + bytes, 0),
    processBytes: usedSize,
    elements: await frame.evaluate(() => document.querySelectorAll('*').length),
    nodes,
    listeners: jsEventListeners,
  };
}
