import { z } from 'zod';

// zod would compile its schemas with `new Function`. Asking whether that is allowed makes VS Code's extension host
// log a stack trace, and a webview's content security policy a violation; messages this small gain nothing by it.
z.config({ jitless: true });

/** What schemas of messages are made of. */
export { z };
