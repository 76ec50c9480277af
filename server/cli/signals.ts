/** A signal that fires at the first SIGINT or SIGTERM, so that long commands stop cleanly; a second one kills. */
export function processSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => controller.abort());
  }
  return controller.signal;
}
