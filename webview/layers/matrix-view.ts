import { OneBitError } from '../../server/protocol/error.ts';
import type { InspectLayersResult, LayerStatistics } from '../../server/protocol/inspect.ts';
import { element, setText, show } from '../page/element.ts';
import type { Host } from '../page/host.ts';
import { section } from '../page/section.ts';
import { button } from '../toolkit.ts';
import type { Asks } from './asks.ts';
import { shortName } from './layer-columns.ts';
import { MatrixValues } from './matrix-values.ts';
import { SignPicture } from './sign-picture.ts';

let lastId = 0;

/** Singular values of the teacher's |W| that are asked for. */
const spectrumLength = 16;

/** One matrix: its signs, g and h, and what the teacher has in its place. Nothing is asked for until one is chosen. */
export class MatrixView {
  readonly element: HTMLElement;
  private readonly picture: SignPicture;
  private readonly values: MatrixValues;
  private readonly title: HTMLElement;
  private readonly body: HTMLElement;
  private readonly error = element('p', { class: 'note' });
  private shown: { result: InspectLayersResult; name: string } | undefined;
  private asking: AbortController | undefined;

  constructor(
    private readonly asks: Asks,
    host: Host,
    onClose: () => void,
  ) {
    const made = section('Matrix', 'matrix');
    this.element = made.element;
    this.title = made.element.querySelector('h2') ?? made.element;
    this.title.tabIndex = -1;
    made.tools.append(button('Close', onClose, { description: 'Close: the view of this matrix' }));
    this.picture = new SignPicture(asks);
    this.values = new MatrixValues(host);
    made.body.append(this.error, this.values.element);
    this.body = made.body;
    show(this.element, false);
  }

  /** For who opened the view by the keyboard. */
  focus(): void {
    this.title.focus();
  }

  /** The matrix of the result with this name, or nothing. */
  update(result: InspectLayersResult | undefined, name: string | undefined): void {
    const layer = result?.layers.find((one) => one.name === name);
    show(this.element, layer !== undefined);
    if (result === undefined || layer === undefined) {
      if (this.shown !== undefined) this.forget();
      return;
    }
    if (this.shown?.result === result && this.shown.name === layer.name) return;
    this.forget();
    this.shown = { result, name: layer.name };
    // Nothing of it is on the page before: a hidden tab draws nothing.
    if (!this.picture.element.isConnected) this.body.prepend(this.picture.element);
    setText(this.title, shortName(layer.name));
    this.picture.show({ model: result.model, name: layer.name }, layer.rows, layer.columns);
    this.values.begin(layer, result.teacher !== undefined);
    void this.read(result, layer);
  }

  private forget(): void {
    this.asking?.abort();
    this.shown = undefined;
    this.picture.clear();
  }

  private async read(result: InspectLayersResult, { name }: LayerStatistics): Promise<void> {
    const { model, teacher } = result;
    const asking = new AbortController();
    this.asking = asking;
    show(this.error, false);
    const ask = (more: { teacher?: string; spectrum?: number }) =>
      this.asks.ask('inspect/matrix', { id: `matrix-${++lastId}`, model, name, ...more }, asking.signal);
    try {
      const matrix = await ask({});
      if (asking.signal.aborted) return;
      this.picture.setEdges({ g: matrix.g.profile, h: matrix.h.profile });
      this.values.setMatrix(result, matrix);
    } catch (caught) {
      const error = reasonOf(caught);
      setText(this.error, error ?? '');
      show(this.error, error !== undefined);
      return;
    }
    if (teacher === undefined) return;
    // Many passes over the teacher's weights: after everything that is there at once.
    try {
      const { spectrum } = await ask({ teacher, spectrum: spectrumLength });
      if (!asking.signal.aborted) this.values.setSpectrum(spectrum);
    } catch (caught) {
      this.values.setSpectrum(undefined, reasonOf(caught));
    }
  }
}

/** What to tell of an error; nothing where it was given up. */
function reasonOf(caught: unknown): string | undefined {
  if (caught instanceof OneBitError && caught.code === 'cancelled') return undefined;
  return caught instanceof Error ? caught.message : String(caught);
}
