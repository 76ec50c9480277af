import { z } from './schema.ts';

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

/**
 * The state folder by the rule above.
 * @param env the process's environment @param platform `process.platform` @param home the home folder
 */
export function stateFolder(
  env: Readonly<Record<string, string | undefined>>,
  platform: string,
  home: string,
): string {
  const explicit = env.ONEBIT_STATE;
  if (explicit) return explicit;
  if (platform === 'win32') return `${env.LOCALAPPDATA || `${home}\\AppData\\Local`}\\onebit`;
  if (platform === 'darwin') return `${home}/Library/Application Support/onebit`;
  return `${env.XDG_STATE_HOME || `${home}/.local/state`}/onebit`;
}

export const serverFileName = 'server.json';
/** The only host ever listened on or connected to. */
export const loopbackHost = '127.0.0.1';
/** The WebSocket endpoint. `Authorization: Bearer TOKEN` here as elsewhere; a client that cannot set headers may put `?token=`. */
export const webSocketPath = '/ws';

/** `GET /health` with the token; without one only `status`. */
export const healthSchema = z.object({
  status: z.enum(['ok', 'loading']),
  version: z.string(),
  protocol: z.number().int(),
  pid: z.number().int(),
  /** Clients connected over WebSocket, completions running or waiting, jobs running or queued. */
  clients: z.number().int(),
  completions: z.number().int(),
  jobs: z.number().int(),
});
export type Health = z.infer<typeof healthSchema>;

/** Exit code of `onebit serve` when another server of this user already runs here. */
export const alreadyRunningExitCode = 3;

/**
 * The reason with which the server closes a WebSocket (code 1001) after `server/stop`: clients then leave it
 * stopped until a person asks for it. After any other end they may start it again.
 */
export const stoppedReason = 'stopped by a user';
