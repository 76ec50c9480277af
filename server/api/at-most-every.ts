/** Calls `action` soon after each call, but not more often than every `ms`; the last call is never lost. */
export function atMostEvery(ms: number, action: () => void): { call(): void; dispose(): void } {
  let last = -Infinity;
  let timer: NodeJS.Timeout | undefined;
  return {
    call: () => {
      timer ??= setTimeout(
        () => {
          timer = undefined;
          last = performance.now();
          action();
        },
        Math.max(0, last + ms - performance.now()),
      );
    },
    dispose: () => {
      clearTimeout(timer);
      timer = undefined;
    },
  };
}
