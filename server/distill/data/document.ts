/** One text to train on: a file, a piece of a very long one, or a row of a data set. */
export interface Document {
  path: string;
  text: string;
}
