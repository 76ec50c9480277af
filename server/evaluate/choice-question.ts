/** One answer to a multiple-choice question, as the model reads it. */
export interface Choice {
  /** Text that is given. */
  context: string;
  /** Text after it whose likelihood counts, with the space or line end that divides the two. */
  continuation: string;
  /** The answer alone: what `acc_norm` and `acc_bytes` take the length of. */
  answer: string;
}

export interface ChoiceQuestion {
  /** File and line, for messages. */
  place: string;
  choices: Choice[];
  /** Index of the right choice. */
  gold: number;
}

/** lm-evaluation-harness' scores of multiple choice. */
export type ChoiceScoreName = 'acc' | 'acc_norm' | 'acc_bytes';

/** A multiple-choice task: how its published files are read, and which scores it is reported by. */
export interface ChoiceTask {
  scores: readonly ChoiceScoreName[];
  /**
   * The first `limit` questions of a file.
   * @throws not-found, unreadable, unsupported, bad-file: the message names file, line and field
   */
  read(path: string, limit?: number): Promise<ChoiceQuestion[]>;
}
