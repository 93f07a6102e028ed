/** Binds the parts of the page together. */
import { isStorageError } from '../../errors.ts';
import { formatKey } from '../../layers/key.ts';
import { formatPgLsn, type Lsn } from '../../layers/lsn.ts';
import { printable } from '../../printable.ts';
import type { PageDescription } from '../page-data.ts';
import type { Axis } from './axis.ts';
import { button, byId, element } from './elements.ts';
import { listenToGestures, zoomBoth } from './gestures.ts';
import { amountText, factsOf, keyText, layersText, levelText, shortKey } from './layer-facts.ts';
import { LayerList } from './layer-list.ts';
import { keyOfNumber, Model } from './model.ts';
import { readPalette } from './palette.ts';
import { parseQuery, type ReadPath, readPath } from './read-path.ts';
import { Scene } from './scene.ts';
import { View } from './view.ts';

const BUTTON_ZOOM = 1.6;
/** Device pixels in a pixel of a printed page. */
const PRINT_RATIO = 2;
/** Visits that are listed; the line shows all of them. */
const LISTED_VISITS = 200;

export class App {
  readonly #model: Model;
  readonly #view: View;
  readonly #scene: Scene;
  readonly #list: LayerList;
  readonly #canvas = byId<HTMLCanvasElement>('map');
  readonly #tooltip = byId('tooltip');
  #palette = readPalette(document.documentElement);
  #isDrawWanted = false;
  #isPrinting = false;

  constructor(description: PageDescription, columns: ArrayBuffer) {
    this.#model = new Model(description, columns);
    this.#view = new View(this.#model);
    this.#scene = new Scene(this.#canvas, this.#model, this.#view);
    this.#list = new LayerList(this.#model, (row) => this.#goTo(row));
  }

  /** Draws the first picture and begins to listen. */
  start(): void {
    this.#listen();
    this.#describeSource();
    this.#describeSnapshot();
    this.#draw();
  }

  #listen(): void {
    const redraw = (): void => this.#wantDraw();
    new ResizeObserver(redraw).observe(this.#canvas);
    const recolour = (): void => {
      this.#palette = readPalette(document.documentElement);
      this.#wantDraw();
    };
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', recolour);
    this.#listenToPrinting();
    this.#listenToCanvas();
    this.#listenToTools();
    this.#listenToSlider();
  }

  #listenToCanvas(): void {
    listenToGestures(this.#canvas, this.#view, {
      moved: () => this.#wantDraw(),
      pointed: (across, down, event) => this.#point(across, down, event),
      left: () => this.#leave(),
      chosen: (across, down) => this.#select(this.#view.layersAt(across, down)[0]),
      followed: (across, down) => {
        const { keys, lsns, height } = this.#view;
        this.#follow(keyOfNumber(keys.valueAt(across)), lsns.valueAt(height - down));
      },
      zoomed: (across, down) => {
        const row =
          across === undefined || down === undefined
            ? this.#view.selected
            : this.#view.layersAt(across, down)[0];
        if (row !== undefined) this.#goTo(row);
      },
      stepped: (by) => this.#step(by),
      followedSelected: () => this.#followSelected(),
      cleared: () => {
        this.#view.path = undefined;
        this.#describePath();
        this.#select(undefined);
      },
    });
  }

  #listenToTools(): void {
    const click = (id: string, action: () => void): void => {
      byId(id).addEventListener('click', () => {
        action();
        this.#wantDraw();
      });
    };
    click('zoom-in', () => zoomBoth(this.#view, 1 / BUTTON_ZOOM));
    click('zoom-out', () => zoomBoth(this.#view, BUTTON_ZOOM));
    click('show-all', () => this.#view.showAll());
    const scale = (id: string, axis: Axis): void => {
      const select = byId<HTMLSelectElement>(id);
      select.addEventListener('change', () => {
        axis.useScale(select.value === 'true' ? 'true' : 'ranks');
        this.#wantDraw();
      });
    };
    scale('key-scale', this.#view.keys);
    scale('lsn-scale', this.#view.lsns);
    byId<HTMLFormElement>('search').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#search(byId<HTMLInputElement>('query').value);
    });
  }

  #listenToSlider(): void {
    const slider = byId<HTMLInputElement>('snapshot');
    const last = this.#model.description.snapshots.length - 1;
    byId('snapshots').hidden = last < 1;
    slider.max = String(Math.max(0, last));
    slider.value = String(this.#model.shown);
    const show = (snapshot: number): void => {
      this.#model.show(snapshot);
      slider.value = String(this.#model.shown);
      this.#scene.snapshotChanged();
      this.#list.snapshotChanged();
      const { path } = this.#view;
      if (path !== undefined) this.#follow(path.key, path.lsn);
      this.#describeSnapshot();
      this.#describeSelected();
      this.#wantDraw();
    };
    slider.addEventListener('input', () => show(Number(slider.value)));
    byId('snapshot-before').addEventListener('click', () => show(this.#model.shown - 1));
    byId('snapshot-after').addEventListener('click', () => show(this.#model.shown + 1));
  }

  /** On paper the map has the light colours, whatever the screen has. */
  #listenToPrinting(): void {
    const print = (isPrinting: boolean): void => {
      if (isPrinting === this.#isPrinting) return;
      this.#isPrinting = isPrinting;
      document.documentElement.classList.toggle('paper', isPrinting);
      this.#palette = readPalette(document.documentElement);
      this.#leave();
      this.#draw();
    };
    addEventListener('beforeprint', () => print(true));
    addEventListener('afterprint', () => print(false));
    matchMedia('print').addEventListener('change', ({ matches }) => print(matches));
  }

  #wantDraw(): void {
    if (this.#isDrawWanted) return;
    this.#isDrawWanted = true;
    requestAnimationFrame(() => {
      this.#isDrawWanted = false;
      this.#draw();
    });
  }

  #draw(): void {
    this.#scene.draw(this.#palette, this.#isPrinting ? PRINT_RATIO : devicePixelRatio);
  }

  #point(across: number, down: number, event: PointerEvent): void {
    const { keys, lsns, height, width } = this.#view;
    const isInside = across >= 0 && down >= 0 && across <= width && down <= height;
    const found = isInside ? this.#view.layersAt(across, down) : [];
    const row = found[0];
    const here = isInside
      ? `${shortKey(keyOfNumber(keys.valueAt(across))).join(' ')} at ${formatPgLsn(lsns.valueAt(height - down))}`
      : '';
    byId('pointer').textContent = here;
    if (row !== this.#view.hovered) {
      this.#view.hovered = row;
      this.#wantDraw();
    }
    this.#tooltip.hidden = row === undefined;
    if (row === undefined) return;
    const lines = factsOf(this.#model, row).map(([name, value]) => `${name}: ${value}`);
    if (found.length > 1) lines.push(`${layersText(found.length - 1)} below it here`);
    this.#tooltip.replaceChildren(...lines.map((line) => element('div', line)));
    this.#placeTooltip(event);
  }

  #placeTooltip({ clientX, clientY }: PointerEvent): void {
    const { offsetWidth, offsetHeight } = this.#tooltip;
    const left = Math.max(8, Math.min(clientX + 16, innerWidth - offsetWidth - 8));
    const isBelow = clientY + 20 + offsetHeight < innerHeight;
    const top = isBelow ? clientY + 20 : Math.max(8, clientY - offsetHeight - 12);
    this.#tooltip.style.transform = `translate(${left}px, ${top}px)`;
  }

  #leave(): void {
    this.#tooltip.hidden = true;
    byId('pointer').textContent = '';
    if (this.#view.hovered === undefined) return;
    this.#view.hovered = undefined;
    this.#wantDraw();
  }

  #select(row: number | undefined): void {
    this.#view.selected = row;
    this.#describeSelected();
    this.#wantDraw();
  }

  #goTo(row: number): void {
    this.#view.showLayer(row);
    this.#select(row);
    this.#canvas.scrollIntoView({ block: 'nearest' });
  }

  /** Goes to the next layer of the snapshot in the order of LSNs. */
  #step(by: 1 | -1): void {
    const { count } = this.#model;
    let row = this.#view.selected ?? (by === 1 ? -1 : count);
    do row += by;
    while (row >= 0 && row < count && this.#model.changeOf(row) === undefined);
    if (row >= 0 && row < count) this.#select(row);
  }

  #search(text: string): void {
    const query = parseQuery(text);
    if ('problem' in query) {
      this.#report(query.problem);
      return;
    }
    this.#follow(query.key, query.lsn ?? this.#lastLsn());
  }

  #followSelected(): void {
    const row = this.#view.selected;
    if (row === undefined) return;
    this.#follow(this.#model.startKey(row), this.#model.endLsn(row) - 1n);
  }

  #follow(key: Uint8Array, lsn: Lsn): void {
    try {
      const path = readPath(this.#model, key, lsn);
      this.#view.path = path;
      byId<HTMLInputElement>('query').value = `${formatKey(key)}@${formatPgLsn(lsn)}`;
      this.#view.showPath(path);
      this.#describePath();
    } catch (error) {
      if (!isStorageError(error)) throw error;
      this.#report(error.message);
    }
    this.#wantDraw();
  }

  /** The newest LSN that has a record. */
  #lastLsn(): Lsn {
    const { lsns } = this.#view;
    return lsns.count === 0 ? 0n : lsns.borderValue(lsns.count - 1) - 1n;
  }

  #report(problem: string): void {
    this.#view.path = undefined;
    byId('path').replaceChildren(element('p', printable(problem), { class: 'problem' }));
    byId('path-panel').hidden = false;
    this.#wantDraw();
  }

  /** Shows of the legend what the map may show, and which names are left out. */
  #describeSource(): void {
    const { leftOut, snapshots } = this.#model.description;
    byId('legend-changes').hidden = snapshots.length < 2;
    byId('legend-branch').hidden = snapshots.every(
      ({ branchLsns, ancestorLsn }) => branchLsns.length === 0 && ancestorLsn === undefined,
    );
    byId('legend-hole').hidden = snapshots.every(({ holes }) => holes === 0);
    byId('left-out').hidden = leftOut.count === 0;
    byId('left-out-title').textContent = `Not on the map: ${leftOut.count} of the given names`;
    byId('left-out-names').replaceChildren(
      ...leftOut.examples.map((example) => element('li', printable(example))),
    );
  }

  #describeSnapshot(): void {
    const model = this.#model;
    byId('summary').textContent = amountText(model.amountOf('kept', 'added'));
    const shown = model.shown + 1;
    const count = model.description.snapshots.length;
    const label = printable(model.snapshot?.label ?? '');
    byId('snapshot-label').textContent = `${shown} of ${count}: ${label}`;
    const slider = byId('snapshot');
    slider.setAttribute('aria-valuetext', `${shown} of ${count}, ${label}`);
    byId<HTMLButtonElement>('snapshot-before').disabled = shown === 1;
    byId<HTMLButtonElement>('snapshot-after').disabled = shown >= count;
    const changes = byId('changes');
    if (model.shown === 0) {
      changes.textContent = 'The first step; move on to see what was added and removed.';
      return;
    }
    const added = amountText(model.amountOf('added'));
    const removed = amountText(model.amountOf('removed'));
    changes.textContent = `Since the step before: ${added} added, ${removed} removed.`;
  }

  #describeSelected(): void {
    const row = this.#view.selected;
    const panel = byId('details');
    byId('details-panel').hidden = row === undefined;
    if (row === undefined) {
      panel.replaceChildren();
      return;
    }
    const facts = factsOf(this.#model, row).flatMap(([name, value]) => [
      element('dt', name),
      element('dd', value),
    ]);
    const buttons = [
      button('Zoom to it', () => this.#goTo(row)),
      button('Follow a read', () => this.#followSelected()),
    ];
    panel.replaceChildren(element('dl', facts), element('p', buttons));
  }

  #describePath(): void {
    const { path } = this.#view;
    byId('path-panel').hidden = path === undefined;
    if (path === undefined) return;
    const title = `${keyText(path.key)} at ${formatPgLsn(path.lsn)}`;
    const shown = path.visits.slice(0, LISTED_VISITS).map(({ row, floor, end }) => {
      const line = `${levelText(this.#model, row)}, from ${formatPgLsn(end - 1n)} down to ${formatPgLsn(floor)}`;
      return element('li', [button(line, () => this.#select(row), 'link')]);
    });
    const children: Node[] = [element('p', title), element('ol', shown)];
    if (shown.length < path.visits.length) {
      children.push(element('p', `and ${layersText(path.visits.length - shown.length)} more`));
    }
    children.push(element('p', endText(path)));
    byId('path').replaceChildren(...children);
  }
}

function endText({ end, visits }: ReadPath): string {
  if (visits.length === 0) return 'No layer has this key at or below this LSN.';
  if (end === 'image') return 'The read ends here: an image layer has all keys of its range.';
  if (end === 'long') return 'The path is longer than this page follows.';
  return 'No image is below: the read ends in one of these deltas, in the ancestor, or nowhere.';
}
