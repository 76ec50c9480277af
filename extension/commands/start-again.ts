import { asOneBitError } from '../../server/protocol/error.ts';
import type { Job } from '../../server/protocol/job.ts';

/** Most folders that are asked for: a job names its models, its data, its output and a cache. */
const maxChoices = 8;

/**
 * Starts a stopped job once more. Where it lies outside what this window may use, its user is asked for the folder, and
 * only what was picked by hand is opened.
 * @param start asks the server
 * @param choose says what was refused and opens what its user picks; false when the user gave up
 * @throws not-allowed, as the server said it, when the user gave up
 */
export async function startAgain(
  start: () => Promise<Job>,
  choose: (refusal: string) => Promise<boolean>,
): Promise<Job> {
  for (let choices = 0; ; choices++) {
    try {
      return await start();
    } catch (error) {
      const refusal = asOneBitError(error);
      if (refusal.code !== 'not-allowed' || choices === maxChoices) throw refusal;
      if (!(await choose(refusal.message))) throw refusal;
    }
  }
}
