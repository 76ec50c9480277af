/**
 * Weight of the hidden-state loss beside a mean KL of weight 1 that gives the authors' proportion:
 * their code adds 0.01 × the KL summed over T = 2048 tokens to 1.0 × the hidden-state loss, which is
 * 20.48 : 1 between the mean KL per token and the hidden-state loss.
 */
export const authorsHiddenWeight = 1 / (0.01 * 2048);

export interface DistillationWeights {
  /** Of the mean KL(teacher ‖ student) per token. */
  kl: number;
  /** Of the sum over layers of the distance of unit hidden states. */
  hidden: number;
  /** Of the student's own language-model loss; 0 in the paper. */
  languageModel: number;
}

/** The paper's proportion (METHOD.md, Distillation). */
export const authorsWeights: DistillationWeights = { kl: 1, hidden: authorsHiddenWeight, languageModel: 0 };
