/**
 * Learning rate over a run: linear warm-up, then half a cosine down to `floor × peak`. A run is
 * measured either in steps or in minutes; with minutes the curve is fitted to the clock, so that it
 * ends exactly when the time does.
 */
export interface Schedule {
  peak: number;
  /** Share of the peak that the curve ends at. */
  floor: number;
  /** Steps of linear rise, if they take less than a tenth of the run: a short run still gets to its peak. */
  warmupSteps: number;
  /** Total steps; undefined when the run is measured in minutes. */
  steps: number | undefined;
  /** Total seconds; undefined when the run is measured in steps. Both given: whichever ends first. */
  seconds: number | undefined;
}

/** Share of the run that the warm-up may take. */
const longestWarmup = 0.1;

/** How much of the run is over before step `step` (0-based) at `seconds` since the start: 0 … 1. */
export function shareDone(schedule: Schedule, step: number, seconds: number): number {
  const bySteps = schedule.steps === undefined ? 0 : step / schedule.steps;
  const byTime = schedule.seconds === undefined ? 0 : seconds / schedule.seconds;
  return Math.min(1, Math.max(bySteps, byTime));
}

/** The learning rate of step `step` (0-based). */
export function learningRate(schedule: Schedule, step: number, seconds: number): number {
  const share = shareDone(schedule, step, seconds);
  const warmup =
    schedule.warmupSteps > 0
      ? Math.min(1, Math.max((step + 1) / schedule.warmupSteps, share / longestWarmup))
      : 1;
  const cosine = 0.5 * (1 + Math.cos(Math.PI * share));
  return schedule.peak * warmup * (schedule.floor + (1 - schedule.floor) * cosine);
}
