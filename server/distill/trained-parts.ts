import type { StudentRecipe } from '../protocol/recipe.ts';

/** Which of the tensors outside the 1-bit layers are trained; their biases never are. */
export type TrainedParts = Pick<StudentRecipe, 'embeddings' | 'norms' | 'head'>;

/** Whether a tensor that is not of a 1-bit layer is trained, by its checkpoint name. */
export function isTrained(name: string, parts: TrainedParts): boolean {
  if (name === 'model.embed_tokens.weight') return parts.embeddings === 'trained';
  if (name === 'lm_head.weight') return parts.head === 'trained';
  return /norm\.weight$/.test(name) && parts.norms === 'trained';
}
