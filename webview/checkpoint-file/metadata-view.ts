import type { CheckpointFileSummary } from '../../server/protocol/checkpoint-file.ts';
import { element, setText, show } from '../page/element.ts';
import { formatInteger } from '../page/format.ts';
import { section } from '../page/section.ts';

/** What the file says of itself, as text. */
export class MetadataView {
  readonly element: HTMLElement;
  private readonly list = element('dl', { class: 'metadata', tabindex: '0', 'aria-label': 'Metadata' });
  private readonly note = element('p', { class: 'note' });
  private shown: CheckpointFileSummary['metadata'] | undefined;

  constructor() {
    const made = section('Metadata', 'metadata');
    this.element = made.element;
    made.body.append(this.list, this.note);
  }

  update({ metadata, metadataCount }: CheckpointFileSummary): void {
    if (this.shown === metadata) return;
    this.shown = metadata;
    this.list.replaceChildren(
      ...metadata.map(({ key, value }) =>
        element('div', { class: 'metadata-entry' }, element('dt', {}, key), element('dd', {}, value)),
      ),
    );
    show(this.list, metadata.length > 0);
    const left = metadataCount - metadata.length;
    setText(
      this.note,
      left > 0 ? `${formatInteger(left)} more entries are not shown.` : 'The file has none.',
    );
    show(this.note, left > 0 || metadata.length === 0);
  }
}
