import type { ModelSummary } from '../../server/protocol/model.ts';
import { element, setAttribute, setText, show } from '../page/element.ts';
import { baseName, formatInteger } from '../page/format.ts';
import { type Dropdown, dropdown } from '../toolkit.ts';
import type { Choice, Comparison } from './comparison.ts';

const nothing = '';
const anotherFolder = 'another folder';

/** What the bar tells: paths of checkpoints, undefined for the model itself and for no comparison. */
export interface CheckpointBarEvents {
  onAt(path: string | undefined): void;
  onOther(path: string | undefined): void;
  onChooseFolder(): void;
  onDifferences(differences: boolean): void;
}

/** Over the map: a slider along the training run, and what is compared with. */
export class CheckpointBar {
  readonly element: HTMLElement;
  private readonly slider = element('input', {
    type: 'range',
    min: '0',
    class: 'run-slider',
    'aria-label': 'Checkpoint of the training run',
  });
  private readonly step = element('span', { class: 'run-step' });
  private readonly run = element('div', { class: 'run-bar' }, this.slider, this.step);
  private readonly others: Dropdown;
  private readonly mode: Dropdown;
  private readonly status = element('span', { class: 'run-status note', role: 'status' });
  /** Paths along the slider; undefined is the model itself. */
  private stops: (string | undefined)[] = [];

  constructor(events: CheckpointBarEvents) {
    this.others = dropdown('Checkpoint that it is compared with', (value) => {
      if (value === anotherFolder) events.onChooseFolder();
      else events.onOther(value === nothing ? undefined : value);
    });
    this.mode = dropdown('Values or changes', (value) => events.onDifferences(value === 'differences'));
    this.slider.addEventListener('input', () => events.onAt(this.stops[Number(this.slider.value)]));
    this.element = element(
      'div',
      { class: 'layers-tools' },
      this.run,
      this.others.element,
      this.mode.element,
      this.status,
    );
  }

  /** @param shown the model that the layers are of, as the server named it */
  update(
    comparison: Comparison,
    shown: { model: string; models: ModelSummary[] },
    choice: Choice,
    differences: boolean,
  ): void {
    const { checkpoints, reading, error } = comparison;
    const inRun = checkpoints.some(({ path }) => path === shown.model);
    this.stops = [...checkpoints.map(({ path }) => path), ...(inRun ? [] : [undefined])];
    const at = this.stops.indexOf(choice.at ?? (inRun ? shown.model : undefined));
    show(this.run, checkpoints.length > 0 && this.stops.length > 1);
    setAttribute(this.slider, 'max', String(this.stops.length - 1));
    if (this.slider.value !== String(at)) this.slider.value = String(at);
    const text = this.textOf(comparison, this.stops[at]);
    setText(this.step, text);
    setAttribute(this.slider, 'aria-valuetext', text);

    const known = [
      ...checkpoints.map(({ path, step }) => ({
        value: path,
        label: `Compared with step ${formatInteger(step)}`,
        description: path,
      })),
      ...shown.models
        .filter(({ id, kind }) => kind !== 'full' && id !== shown.model)
        .map(({ id, name, path }) => ({ value: id, label: `Compared with ${name}`, description: path })),
    ].filter(({ value }) => value !== (choice.at ?? shown.model) || value === choice.other);
    const { other } = choice;
    if (other !== undefined && !known.some(({ value }) => value === other)) {
      known.push({ value: other, label: `Compared with ${checkpointName(other)}`, description: other });
    }
    this.others.set(
      [
        { value: nothing, label: 'Not compared with a checkpoint' },
        ...known,
        { value: anotherFolder, label: 'Another checkpoint…', description: 'Choose its folder' },
      ],
      other ?? nothing,
    );
    show(this.mode.element, other !== undefined);
    this.mode.set(
      [
        { value: 'values', label: 'Side by side' },
        { value: 'differences', label: 'Differences' },
      ],
      differences ? 'differences' : 'values',
    );
    setText(this.status, error ?? readingText(reading));
  }

  private textOf({ checkpoints }: Comparison, path: string | undefined): string {
    const index = checkpoints.findIndex((one) => one.path === path);
    const checkpoint = checkpoints[index];
    if (checkpoint === undefined) return 'The model as it is';
    const kind = checkpoint.kind === 'training' ? ', latent weights' : '';
    return `Step ${formatInteger(checkpoint.step)} (${index + 1} of ${checkpoints.length}${kind})`;
  }
}

function readingText(reading: Comparison['reading']): string {
  if (reading === undefined) return '';
  const { path, progress } = reading;
  const count =
    progress === undefined ? '' : ` ${formatInteger(progress.done)} of ${formatInteger(progress.total)}`;
  return `Reading ${checkpointName(path)}…${count}`;
}

/** A run's file `step-100.safetensors` is `step-100`. */
export function checkpointName(path: string): string {
  return baseName(path).replace(/\.safetensors$/, '');
}
