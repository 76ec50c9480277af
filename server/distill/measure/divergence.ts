/** Steps that a loss is averaged over, so that one hard batch is not taken for a trend. */
const span = 20;
/** Steps that the average may stay too high before the run is given up. */
const patience = 100;
/** A loss that has fallen by this share of its start has been learning, … */
const learnt = 0.3;
/** … and has lost what it learnt when this share of that is gone. */
const lost = 0.75;
/** A loss that never fell has diverged at this multiple of its start. */
const multiple = 4;

/**
 * Watches a run's losses for divergence that stays finite: most of what was learnt is lost again, or the loss
 * has risen to a multiple of its start, for a hundred steps on end. Spikes that pass are no divergence.
 */
export class DivergenceWatch {
  private readonly recent: number[] = [];
  private start = 0;
  private lowestMean = Infinity;
  private stepsOver = 0;

  /** The loss of the next step. */
  add(loss: number): void {
    this.recent.push(loss);
    if (this.recent.length > span) this.recent.shift();
    if (this.recent.length < span) return;
    const mean = this.mean;
    if (this.lowestMean === Infinity) this.start = mean;
    this.lowestMean = Math.min(this.lowestMean, mean);
    this.stepsOver = mean > this.limit ? this.stepsOver + 1 : 0;
  }

  /** Mean loss of the last steps. */
  get mean(): number {
    return this.recent.reduce((sum, loss) => sum + loss, 0) / this.recent.length;
  }

  /** The lowest such mean so far. */
  get lowest(): number {
    return this.lowestMean;
  }

  /** The loss is too high now: a checkpoint of this state is not worth one of before. */
  get isSuspect(): boolean {
    return this.stepsOver > 0;
  }

  get hasDiverged(): boolean {
    return this.stepsOver >= patience;
  }

  private get limit(): number {
    const fallen = this.start - this.lowestMean;
    return fallen > learnt * this.start ? this.lowestMean + lost * fallen : multiple * this.start;
  }
}
