export interface PanelPage {
  /** Addresses that the webview may load, as `asWebviewUri` gives them. */
  script: string;
  style: string;
  /** `webview.cspSource` */
  cspSource: string;
  nonce: string;
}

/**
 * The page of the panel. Nothing but our script runs and nothing is fetched from anywhere: no inline
 * script or style, no images, no connections.
 */
export function panelHtml({ script, style, cspSource, nonce }: PanelPage): string {
  const policy = [
    "default-src 'none'",
    `style-src ${cspSource} 'nonce-${nonce}'`,
    `script-src 'nonce-${nonce}'`,
  ].join('; ');
  return `<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="UTF-8" />
    <meta http-equiv="Content-Security-Policy" content="${escape(policy)}" />
    <!-- Read by the webview toolkit: without it it cannot tell whether the browser knows :focus-visible. -->
    <meta property="csp-nonce" content="${escape(nonce)}" />
    <meta name="viewport" content="width=device-width, initial-scale=1.0" />
    <title>OneBit</title>
    <link rel="stylesheet" href="${escape(style)}" />
  </head>
  <body>
    <script nonce="${escape(nonce)}" src="${escape(script)}"></script>
  </body>
</html>
`;
}

function escape(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/"/g, '&quot;').replace(/</g, '&lt;');
}
