import type { CheckpointFileSummary } from '../../server/protocol/checkpoint-file.ts';
import { element, setAttribute, setText } from '../page/element.ts';
import { baseName, formatBytes, formatCount, formatInteger } from '../page/format.ts';
import { button } from '../toolkit.ts';

const formats = { safetensors: 'safetensors', gguf: 'GGUF' };

/** What the file is, and what can be done with it. */
export class SummaryView {
  readonly element: HTMLElement;
  private readonly title = element('h1');
  private readonly facts = element('p', { class: 'file-facts' });
  private readonly types = element('p', { class: 'note' });
  private readonly why = element('p', { class: 'note' });
  private readonly quantize: HTMLElement;
  private readonly inspect: HTMLElement;

  constructor(actions: { quantize(): void; inspect(): void }) {
    this.quantize = button('Quantize to 1 Bit…', actions.quantize);
    this.inspect = button('Inspect Layers', actions.inspect);
    this.element = element(
      'header',
      { class: 'file-head' },
      element('div', { class: 'file-words' }, this.title, this.facts, this.types, this.why),
      element('div', { class: 'file-actions' }, this.quantize, this.inspect),
    );
  }

  update({ path, format, bytes, tensors, elements, types, kind }: CheckpointFileSummary): void {
    setText(this.title, baseName(path));
    setAttribute(this.title, 'title', path);
    setText(
      this.facts,
      `${formats[format]} · ${formatBytes(bytes)} · ${formatInteger(tensors)} ${tensors === 1 ? 'tensor' : 'tensors'} · ${formatCount(elements)} elements`,
    );
    setText(
      this.types,
      types
        .map(({ type, bytes: size, tensors: count }) => `${type}: ${formatBytes(size)} in ${count}`)
        .join(' · '),
    );
    setAttribute(this.quantize, 'disabled', kind !== 'full');
    setAttribute(this.inspect, 'disabled', kind !== 'onebit');
    setAttribute(this.quantize, 'appearance', kind === 'full' ? 'primary' : 'secondary');
    setAttribute(this.inspect, 'appearance', kind === 'onebit' ? 'primary' : 'secondary');
    setText(this.why, whyNot(kind));
  }
}

/** Why one of the buttons can do nothing here. */
export function whyNot(kind: CheckpointFileSummary['kind']): string {
  if (kind === 'onebit') return 'The weights are 1-bit already.';
  if (kind === 'full') return 'Layers can be inspected once the model has 1-bit weights.';
  return 'The tensors are not named as those of a LLaMA: there is nothing to quantize or inspect.';
}
