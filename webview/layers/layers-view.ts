import type { ModelSummary } from '../../server/protocol/model.ts';
import { element, show } from '../page/element.ts';
import { baseName, formatInteger } from '../page/format.ts';
import type { Host } from '../page/host.ts';
import type { PanelState } from '../page/panel-state.ts';
import { notice, section } from '../page/section.ts';
import { button, dropdown, progressRing } from '../toolkit.ts';
import { Asks } from './asks.ts';
import { LayersBoard } from './layers-board.ts';

/** The 1-bit matrices of a model: which model, whether they have been read, and what they are. */
export class LayersView {
  readonly element: HTMLElement;
  private readonly models = dropdown('Model whose layers are shown', (id) => this.inspect(id));
  private readonly read = button(
    'Read Again',
    () => this.inspect(this.model()?.id, this.host.ui.inspect?.teacher),
    {
      description: 'Read Again: the layers of the model',
    },
  );
  private readonly compare = button('Compare with Teacher…', () => {
    const model = this.model();
    if (model !== undefined) this.host.post({ type: 'chooseTeacher', model: model.id });
  });
  private readonly notice = notice(progressRing);
  private readonly board: LayersBoard;
  private state: PanelState | undefined;
  private askedAgain = false;

  constructor(
    private readonly host: Host,
    changed: () => void,
  ) {
    const made = section('Layers', 'layers');
    this.board = new LayersBoard(host, new Asks(host), changed);
    this.element = element('div', {}, made.element, this.board.matrix.element);
    made.tools.append(this.models.element, this.compare, this.read);
    made.body.append(this.notice.element, this.board.element);
  }

  update(state: PanelState): void {
    this.state = state;
    this.askAgain(state);
    const models = state.models.filter((model) => model.kind !== 'full');
    const model = this.model();
    const result = state.layers;
    const showTable =
      result !== undefined && state.inspecting === undefined && state.layersError === undefined;
    this.models.set(
      models.map(({ id, name, path }) => ({ value: id, label: name, description: path })),
      model?.id ?? '',
    );
    show(this.models.element, models.length > 1);
    show(this.compare, showTable);
    show(this.read, showTable);
    this.showNotice(state, model);
    this.board.update(state, showTable ? result : undefined);
  }

  /** After a reload of the window the extension has forgotten the layers that were on show: ask for them. */
  private askAgain(state: PanelState): void {
    const asked = this.host.ui.inspect;
    if (this.askedAgain || asked === undefined) return;
    this.askedAgain = true;
    const { layers, layersError, inspecting } = state;
    if (layers === undefined && layersError === undefined && inspecting === undefined) {
      this.host.post({ type: 'inspect', ...asked });
    }
  }

  /** The model that the view is about: the one asked for, the one in memory, the first. */
  private model(): ModelSummary | undefined {
    const state = this.state;
    const models = state?.models.filter((model) => model.kind !== 'full') ?? [];
    const byId = (id: string | undefined) => models.find((model) => model.id === id || model.path === id);
    return (
      byId(state?.inspecting?.model) ??
      byId(state?.layers?.model) ??
      byId(this.host.ui.inspect?.model) ??
      byId(state?.memory?.model.model?.id) ??
      models[0]
    );
  }

  private inspect(model: string | undefined, teacher?: string): void {
    if (model === undefined) return;
    this.askedAgain = true;
    this.host.keep({ inspect: { model, teacher } });
    this.host.post({ type: 'inspect', model, teacher });
  }

  private showNotice(state: PanelState, model: ModelSummary | undefined): void {
    const { inspecting } = state;
    if (inspecting !== undefined) {
      const { progress } = inspecting;
      const count =
        progress === undefined || progress.total <= 0
          ? ''
          : `${formatInteger(progress.done)} of ${formatInteger(progress.total)} ${progress.unit}`;
      this.notice.set({
        key: 'inspecting',
        title: `Reading the layers of ${model?.name ?? baseName(inspecting.model)}…`,
        text: count,
        busy: true,
        actions: () => [button('Cancel', () => this.host.post({ type: 'cancelInspect' }))],
      });
    } else if (state.layersError !== undefined) {
      this.notice.set({
        key: `error ${model?.id ?? ''}`,
        title: 'The layers could not be read',
        text: state.layersError,
        tone: 'error',
        actions: () => [
          button('Try Again', () => this.inspect(model?.id, this.host.ui.inspect?.teacher), {
            primary: true,
          }),
          button('Show Log', () => this.host.post({ type: 'showLog' })),
        ],
      });
    } else if (state.layers !== undefined) {
      this.notice.set(undefined);
    } else if (model === undefined) {
      this.notice.set({
        key: 'no model',
        title: 'No 1-bit model is known',
        text: 'Choose one, or quantize a checkpoint to get one.',
        actions: () => [button('Choose Model…', () => this.host.post({ type: 'chooseModel' }))],
      });
    } else {
      this.notice.set({
        key: `ask ${model.id}`,
        title: `Look into ${model.name}`,
        text: 'Balance of the signs and statistics of g and h for every 1-bit matrix; with a teacher also what the 1-bit form loses.',
        actions: () => [
          button('Read Layers', () => this.inspect(model.id), { primary: true }),
          button('Compare with Teacher…', () => this.host.post({ type: 'chooseTeacher', model: model.id })),
        ],
      });
    }
  }
}
