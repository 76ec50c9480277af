import { OneBitError } from '../../server/protocol/error.ts';
import type { InspectLayersResult, LayerStatistics } from '../../server/protocol/inspect.ts';
import { element, setText, show } from '../page/element.ts';
import { section } from '../page/section.ts';
import { button } from '../toolkit.ts';
import type { Asks } from './asks.ts';
import { shortName } from './layer-columns.ts';
import { SignPicture } from './sign-picture.ts';

let lastId = 0;

/** One matrix: its signs. Nothing is asked for until a matrix is chosen. */
export class MatrixView {
  readonly element: HTMLElement;
  private readonly picture: SignPicture;
  private readonly title: HTMLElement;
  private readonly body: HTMLElement;
  private readonly error = element('p', { class: 'note' });
  private shown: { result: InspectLayersResult; name: string } | undefined;
  private asking: AbortController | undefined;

  constructor(
    private readonly asks: Asks,
    onClose: () => void,
  ) {
    const made = section('Matrix', 'matrix');
    this.element = made.element;
    this.title = made.element.querySelector('h2') ?? made.element;
    this.title.tabIndex = -1;
    made.tools.append(button('Close', onClose, { description: 'Close: the view of this matrix' }));
    this.picture = new SignPicture(asks);
    made.body.append(this.error);
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
    void this.read(result, layer);
  }

  private forget(): void {
    this.asking?.abort();
    this.shown = undefined;
    this.picture.clear();
  }

  private async read({ model }: InspectLayersResult, { name }: LayerStatistics): Promise<void> {
    const asking = new AbortController();
    this.asking = asking;
    show(this.error, false);
    try {
      const id = `matrix-${++lastId}`;
      const { g, h } = await this.asks.ask('inspect/matrix', { id, model, name }, asking.signal);
      if (!asking.signal.aborted) this.picture.setEdges({ g: g.profile, h: h.profile });
    } catch (caught) {
      if (caught instanceof OneBitError && caught.code === 'cancelled') return;
      setText(this.error, caught instanceof Error ? caught.message : String(caught));
      show(this.error, true);
    }
  }
}
