import { z } from 'zod';

/**
 * What `server.json` in the state folder says about the running server (readable by the user only).
 * The state folder is $ONEBIT_STATE, or $XDG_STATE_HOME/onebit, or ~/.local/state/onebit
 * (%LOCALAPPDATA%\onebit on Windows, ~/Library/Application Support/onebit on macOS).
 */
export const serverFileSchema = z.object({
  pid: z.number().int().positive(),
  port: z.number().int().min(1).max(65535),
  token: z.string().min(16),
  version: z.string(),
  protocol: z.number().int(),
  startedAt: z.string(),
  /** The boot that the pid belongs to; a file of another boot is stale. Empty where unknown. */
  bootId: z.string(),
});
export type ServerFile = z.infer<typeof serverFileSchema>;

export const serverFileName = 'server.json';
/** The only host ever listened on or connected to. */
export const loopbackHost = '127.0.0.1';
/** `?token=` on the WebSocket upgrade, `Authorization: Bearer` elsewhere. */
export const webSocketPath = '/ws';
