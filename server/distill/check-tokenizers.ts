import { OneBitError, asOneBitError } from '../protocol/error.ts';
import { loadTokenizer } from '../tokenizer/load-tokenizer.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';

/**
 * Sees that a student speaks its teacher's tokens. A student without a tokenizer takes the teacher's.
 * @throws bad-request, with the first token that differs
 */
export async function checkTokenizers(student: string, teacher: string, ofTeacher: Tokenizer): Promise<void> {
  let ofStudent: Tokenizer;
  try {
    ofStudent = await loadTokenizer(student);
  } catch (error) {
    if (asOneBitError(error).code === 'no-tokenizer') return;
    throw error;
  }
  const size = Math.max(ofStudent.vocabSize, ofTeacher.vocabSize);
  for (let id = 0; id < size; id++) {
    const [own, wanted] = [ofStudent, ofTeacher].map((tokenizer) =>
      id < tokenizer.vocabSize ? JSON.stringify(tokenizer.tokenText(id)) : 'absent',
    );
    if (own === wanted) continue;
    throw new OneBitError(
      'bad-request',
      `The tokenizers differ: token ${id} is ${own} in ${student} and ${wanted} in ${teacher}. ` +
        'Give a student that was made from this teacher, or none.',
    );
  }
}
