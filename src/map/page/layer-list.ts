/** The layers of the snapshot as a table, a page at a time, for those who cannot see the map. */
import { printable } from '../../printable.ts';
import { button, byId, element } from './elements.ts';
import {
  countText,
  generationText,
  keysText,
  layersText,
  levelText,
  lsnsText,
  reachText,
  sizeText,
} from './layer-facts.ts';
import type { Model } from './model.ts';

/** Rows of a page. */
export const PAGE_ROWS = 100;

const ORDERS = ['newest', 'key', 'largest'] as const;
type Order = (typeof ORDERS)[number];

const TITLES = ['Layer', 'Keys', 'LSNs', 'Size', 'Generation', 'Reads', 'Name'];

export class LayerList {
  readonly #model: Model;
  readonly #onChoose: (row: number) => void;
  readonly #details = byId<HTMLDetailsElement>('list');
  readonly #order = byId<HTMLSelectElement>('list-order');
  readonly #body = byId<HTMLTableSectionElement>('list-rows');
  #rows: Int32Array | undefined;
  #first = 0;

  constructor(model: Model, onChoose: (row: number) => void) {
    this.#model = model;
    this.#onChoose = onChoose;
    byId('list-head').append(...TITLES.map((title) => element('th', title, { scope: 'col' })));
    this.#details.addEventListener('toggle', () => this.#show());
    this.#order.addEventListener('change', () => this.snapshotChanged());
    byId('list-before').addEventListener('click', () => this.#turn(-PAGE_ROWS));
    byId('list-after').addEventListener('click', () => this.#turn(PAGE_ROWS));
    this.snapshotChanged();
  }

  /** Sorts again; nothing is sorted until the table is opened. */
  snapshotChanged(): void {
    this.#rows = undefined;
    this.#first = 0;
    const { layers } = this.#model.amountOf('kept', 'added', 'removed');
    byId('list-title').textContent = `Table of ${layersText(layers)}`;
    this.#show();
  }

  #turn(by: number): void {
    const count = this.#rows?.length ?? 0;
    const next = this.#first + by;
    if (next < 0 || next >= count) return;
    this.#first = next;
    this.#show();
  }

  #show(): void {
    if (!this.#details.open) return;
    this.#rows ??= this.#sorted();
    const shown = this.#rows.subarray(this.#first, this.#first + PAGE_ROWS);
    this.#body.replaceChildren(...Array.from(shown, (row) => this.#line(row)));
    const last = this.#first + shown.length;
    byId('list-place').textContent =
      `${countText(Math.min(last, this.#first + 1))} to ${countText(last)} of ${countText(this.#rows.length)}`;
    byId<HTMLButtonElement>('list-before').disabled = this.#first === 0;
    byId<HTMLButtonElement>('list-after').disabled = last >= this.#rows.length;
  }

  #line(row: number): HTMLTableRowElement {
    const model = this.#model;
    const choose = button(printable(model.name(row)), () => this.#onChoose(row), 'link');
    return element('tr', [
      element('td', levelText(model, row)),
      element('td', keysText(model.startKey(row), model.endKey(row))),
      element('td', lsnsText(model, row)),
      element('td', sizeText(model.size(row))),
      element('td', generationText(model.generation(row))),
      element('td', reachText(model, row)),
      element('td', [choose]),
    ]);
  }

  #sorted(): Int32Array {
    const model = this.#model;
    const { keyStart, lsnEnd, sizes } = model.columns;
    const rows = Int32Array.from({ length: model.count }, (_, row) => row).filter(
      (row) => model.changeOf(row) !== undefined,
    );
    const sizeOf = (row: number): number =>
      (sizes[2 * row + 1] ?? 0) * 2 ** 32 + (sizes[2 * row] ?? 0);
    const compare: Record<Order, (left: number, right: number) => number> = {
      newest: (left, right) => (lsnEnd[right] ?? 0) - (lsnEnd[left] ?? 0),
      key: (left, right) => (keyStart[left] ?? 0) - (keyStart[right] ?? 0),
      largest: (left, right) => sizeOf(right) - sizeOf(left),
    };
    const order = ORDERS.find((name) => name === this.#order.value) ?? 'newest';
    return rows.sort((left, right) => compare[order](left, right) || left - right);
  }
}
