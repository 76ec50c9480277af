import { OneBitError } from '../../server/protocol/error.ts';
import type { InspectActivationsResult, InspectLayersResult } from '../../server/protocol/inspect.ts';
import { activationsCsv } from '../../server/protocol/matrix-csv.ts';
import { element, setText, show } from '../page/element.ts';
import { formatInteger } from '../page/format.ts';
import type { Host } from '../page/host.ts';
import { button } from '../toolkit.ts';
import type { Asks } from './asks.ts';
import { checkpointName } from './checkpoint-bar.ts';
import { exportButtons } from './exports.ts';

/** As many characters as the server takes. */
const mostCharacters = 20_000;
const firstText = 'export async function readJson(path: string): Promise<unknown> {\n  const text = ';

/** A text that goes through every matrix of the model, when the user says so. */
export class ActivationsView {
  readonly element: HTMLElement;
  private readonly text = element('textarea', {
    class: 'activations-text',
    rows: '3',
    maxlength: String(mostCharacters),
    spellcheck: 'false',
    'aria-label': 'Text that goes through the model',
  });
  private readonly run = button('Run Text Through', () => void this.ask());
  private readonly cancel = button('Cancel', () => this.asking?.abort(), {
    description: 'Cancel: the text that goes through',
  });
  private readonly status = element('span', { class: 'note', role: 'status' });
  private readonly saves: HTMLElement;
  private base: InspectLayersResult | undefined;
  private found: { base: InspectLayersResult; result: InspectActivationsResult } | undefined;
  private asking: AbortController | undefined;

  /** @param onResult there are activations now */
  constructor(
    host: Host,
    private readonly asks: Asks,
    private readonly onResult: () => void,
  ) {
    this.saves = exportButtons(host, 'the activations', ['csv', 'json'], () => this.exports());
    this.element = element(
      'div',
      { class: 'activations' },
      element('h3', {}, 'On a text'),
      this.text,
      element('div', { class: 'layers-tools' }, this.run, this.cancel, this.status, this.saves),
    );
    this.text.value = host.ui.activationsText ?? firstText;
    this.text.addEventListener('input', () => host.keep({ activationsText: this.text.value }));
    show(this.cancel, false);
    show(this.saves, false);
  }

  /** What went through the matrices of this model, if a text has been run. */
  result(base: InspectLayersResult): InspectActivationsResult | undefined {
    if (this.base !== base) this.begin(base);
    return this.found?.base === base ? this.found.result : undefined;
  }

  private begin(base: InspectLayersResult): void {
    this.base = base;
    this.asking?.abort();
    show(this.saves, false);
    setText(
      this.status,
      base.teacher === undefined
        ? 'Sizes of what goes into every matrix and comes out; 512 tokens at most.'
        : 'Sizes of what goes into every matrix and comes out, and the error against the teacher; 512 tokens at most.',
    );
  }

  private async ask(): Promise<void> {
    const { base } = this;
    const text = this.text.value;
    if (base === undefined || this.asking !== undefined) return;
    if (text === '') {
      setText(this.status, 'There is no text.');
      return;
    }
    const asking = new AbortController();
    this.asking = asking;
    show(this.cancel, true);
    setText(this.status, 'Reading the weights…');
    const { model, teacher } = base;
    const params = { id: crypto.randomUUID(), model, text, ...(teacher === undefined ? {} : { teacher }) };
    let said: string;
    try {
      const result = await this.asks.ask('inspect/activations', params, asking.signal, ({ done, total }) =>
        setText(this.status, `${formatInteger(done)} of ${formatInteger(total)} matrices`),
      );
      this.found = { base, result };
      said = `${formatInteger(result.tokens)} tokens went through ${formatInteger(result.matrices.length)} matrices: see map and table.`;
    } catch (caught) {
      const cancelled = caught instanceof OneBitError && caught.code === 'cancelled';
      said = cancelled ? 'Cancelled.' : caught instanceof Error ? caught.message : String(caught);
    }
    this.asking = undefined;
    show(this.cancel, false);
    // Another model has come meanwhile.
    if (this.base !== base) return;
    setText(this.status, said);
    if (this.found?.base !== base) return;
    show(this.saves, true);
    this.onResult();
  }

  private exports(): ReturnType<Parameters<typeof exportButtons>[3]> {
    const { found } = this;
    return (
      found && {
        name: `${checkpointName(found.base.model)}-activations`,
        csv: () => activationsCsv(found.result),
        json: () => found.result,
      }
    );
  }
}
