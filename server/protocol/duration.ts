// How command line and panel say a time.

/** `45 s`, `3 min 20 s`, `2 h 05 min`, `3 d 4 h`; a dash for what is no time. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return '–';
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return whole % 60 === 0 ? `${minutes} min` : `${minutes} min ${whole % 60} s`;
  // Seconds say nothing once it is hours.
  const wholeMinutes = Math.round(whole / 60);
  const hours = Math.floor(wholeMinutes / 60);
  if (hours < 24) return `${hours} h ${String(wholeMinutes % 60).padStart(2, '0')} min`;
  const wholeHours = Math.round(whole / 3600);
  return `${Math.floor(wholeHours / 24)} d ${wholeHours % 24} h`;
}
