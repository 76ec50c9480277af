import { OneBitError } from '../../server/protocol/error.ts';
import type { InspectLayersResult, LayerStatistics } from '../../server/protocol/inspect.ts';
import { element, setText, show } from '../page/element.ts';
import type { Host } from '../page/host.ts';
import { section } from '../page/section.ts';
import { button, type Checkbox, checkbox } from '../toolkit.ts';
import type { Asks } from './asks.ts';
import { exportButtons } from './exports.ts';
import { shortName } from './layer-columns.ts';
import { MatrixValues } from './matrix-values.ts';
import { SignPicture } from './sign-picture.ts';

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
  private shown: { result: InspectLayersResult; layer: LayerStatistics } | undefined;
  private edges: Parameters<SignPicture['setEdges']>[0] | undefined;
  private asking: AbortController | undefined;
  private readonly differing: Checkbox;
  /** The teacher's singular values of the matrix that was last looked at: the same along a run. */
  private spectrum: { teacher: string; name: string; values: number[] } | undefined;

  constructor(
    private readonly asks: Asks,
    private readonly host: Host,
    onClose: () => void,
  ) {
    const made = section('Matrix', 'matrix');
    this.element = made.element;
    this.title = made.element.querySelector('h2') ?? made.element;
    this.title.tabIndex = -1;
    this.differing = checkbox('Where signs differ', (checked) => {
      host.keep({ differingSigns: checked });
      this.showPicture();
    });
    const saves = exportButtons(
      host,
      'the picture of signs',
      ['png', 'svg'],
      () => this.shown && { name: `${shortName(this.shown.layer.name)}-signs`, canvas: this.picture.canvas },
    );
    made.tools.append(
      this.differing.element,
      saves,
      button('Close', onClose, { description: 'Close: the view of this matrix' }),
    );
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
    if (this.shown?.result === result && this.shown.layer === layer) return;
    this.forget();
    this.shown = { result, layer };
    // Nothing of it is on the page before: a hidden tab draws nothing.
    if (!this.picture.element.isConnected) this.body.prepend(this.picture.element);
    setText(this.title, shortName(layer.name));
    this.showPicture();
    this.values.begin(layer, result.teacher !== undefined);
    void this.read(result, layer);
  }

  /** The signs, or where they differ from the other checkpoint's. */
  private showPicture(): void {
    if (this.shown === undefined) return;
    const { result, layer } = this.shown;
    const differing = this.host.ui.differingSigns ?? false;
    show(this.differing.element, result.other !== undefined);
    this.differing.set(differing);
    const against = differing && result.other !== undefined ? { against: result.other } : {};
    this.picture.show({ model: result.model, name: layer.name, ...against }, layer.rows, layer.columns);
    if (this.edges !== undefined) this.picture.setEdges(this.edges);
  }

  private forget(): void {
    this.asking?.abort();
    this.shown = undefined;
    this.edges = undefined;
    this.picture.clear();
  }

  private async read(result: InspectLayersResult, { name }: LayerStatistics): Promise<void> {
    const { model, teacher, other } = result;
    const asking = new AbortController();
    this.asking = asking;
    show(this.error, false);
    const ask = (of: string, more: { teacher?: string; spectrum?: number } = {}) =>
      this.asks.ask('inspect/matrix', { id: crypto.randomUUID(), model: of, name, ...more }, asking.signal);
    try {
      const matrix = await ask(model);
      if (asking.signal.aborted) return;
      this.edges = { g: matrix.g.profile, h: matrix.h.profile };
      this.picture.setEdges(this.edges);
      this.values.setMatrix(result, matrix);
      const beside = other === undefined ? undefined : await ask(other);
      if (asking.signal.aborted) return;
      if (beside !== undefined) this.values.setOther(beside);
    } catch (caught) {
      const error = reasonOf(caught);
      setText(this.error, error ?? '');
      show(this.error, error !== undefined);
      return;
    }
    if (teacher === undefined) return;
    // Many passes over the teacher's weights: after everything that is there at once, and once along a run.
    try {
      if (this.spectrum?.teacher !== teacher || this.spectrum.name !== name) {
        const { spectrum: values = [] } = await ask(model, { teacher, spectrum: spectrumLength });
        this.spectrum = { teacher, name, values };
      }
      if (!asking.signal.aborted) this.values.setSpectrum(this.spectrum.values);
    } catch (caught) {
      if (!asking.signal.aborted) this.values.setSpectrum(undefined, reasonOf(caught));
    }
  }
}

/** What to tell of an error; nothing where it was given up. */
function reasonOf(caught: unknown): string | undefined {
  if (caught instanceof OneBitError && caught.code === 'cancelled') return undefined;
  return caught instanceof Error ? caught.message : String(caught);
}
