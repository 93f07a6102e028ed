/**
 * A layer map that is slow and obvious: every answer is looked for among all layers, one key at a
 * time. Keys are small numbers, from 0 up; LSNs are numbers.
 */
export interface ObviousLayer {
  readonly name: string;
  readonly kind: 'delta' | 'image';
  readonly isL0: boolean;
  readonly keyStart: number;
  readonly keyEnd: number;
  readonly start: number;
  readonly end: number;
}

export interface ObviousAnswer {
  readonly name: string;
  readonly lsnFloor: number;
}

type Image = ObviousLayer | undefined;

export class ObviousMap {
  readonly #given: readonly ObviousLayer[];
  readonly #layers: readonly ObviousLayer[];

  constructor(layers: readonly ObviousLayer[]) {
    this.#given = layers;
    this.#layers = [...layers].sort(
      (left, right) =>
        left.start - right.start ||
        left.end - right.end ||
        left.keyStart - right.keyStart ||
        left.keyEnd - right.keyEnd,
    );
  }

  covering(kind: ObviousLayer['kind'], key: number, lsn: number): ObviousLayer | undefined {
    let best: ObviousLayer | undefined;
    for (const layer of this.#layers) {
      if (layer.kind !== kind || layer.start > lsn) continue;
      if (key < layer.keyStart || key >= layer.keyEnd) continue;
      if (best === undefined || layer.end > best.end) best = layer;
    }
    return best;
  }

  search(key: number, endLsn: number): ObviousAnswer | undefined {
    const delta = this.covering('delta', key, endLsn - 1);
    const image = this.covering('image', key, endLsn - 1);
    if (delta === undefined && image === undefined) return undefined;
    if (delta === undefined) return answer(image, image?.start);
    if (image === undefined) return answer(delta, delta.start);
    if (image.end >= delta.end || image.end === endLsn) return answer(image, image.start);
    return answer(delta, Math.max(delta.start, image.end));
  }

  /** Start, end and image of each segment. */
  imageCoverage(start: number, end: number, lsn: number): [number, number, string | null][] {
    if (!this.#layers.some((layer) => layer.start <= lsn)) return [];
    const nodes = new Map<number, Image>();
    const sorted = (): number[] => [...nodes.keys()].sort((left, right) => left - right);
    const valueAt = (key: number): Image => {
      const below = sorted().filter((node) => node <= key);
      return below.length === 0 ? undefined : nodes.get(Math.max(...below));
    };
    for (const image of this.#layers) {
      if (image.kind !== 'image' || image.start > lsn) continue;
      nodes.set(image.keyStart, valueAt(image.keyStart));
      nodes.set(image.keyEnd, valueAt(image.keyEnd));
      let isRun = false;
      for (const node of sorted()) {
        if (node < image.keyStart || node >= image.keyEnd) continue;
        const value = nodes.get(node);
        const isRaised = value === undefined || value.end < image.end;
        if (isRaised && isRun) nodes.delete(node);
        else if (isRaised) nodes.set(node, image);
        isRun = isRaised;
      }
    }
    const segments: [number, number, string | null][] = [];
    let from = start;
    let image = valueAt(start);
    for (const node of sorted()) {
      if (node < start || node >= end) continue;
      segments.push([from, node, image?.name ?? null]);
      from = node;
      image = nodes.get(node);
    }
    return [...segments, [from, end, image?.name ?? null]];
  }

  countDeltas(
    [keyStart, keyEnd]: readonly [number, number],
    [lsnStart, lsnEnd]: readonly [number, number],
    options: { readonly limit: number; readonly isWholeKeySpace: boolean },
  ): number {
    let greatest = 0;
    for (let key = keyStart; key < keyEnd; key += 1) {
      let count = 0;
      for (let end = lsnEnd; end > lsnStart && count < options.limit; ) {
        const delta = this.covering('delta', key, end - 1);
        if (delta === undefined || delta.end <= lsnStart) break;
        const isUppermost = end === lsnEnd;
        if (!delta.isL0 || (options.isWholeKeySpace && isUppermost)) count += 1;
        end = delta.start;
      }
      greatest = Math.max(greatest, count);
    }
    return greatest;
  }

  imageLayerExists(
    [keyStart, keyEnd]: readonly [number, number],
    [lsnStart, lsnEnd]: readonly [number, number],
  ): boolean {
    for (let key = keyStart; key < keyEnd; key += 1) {
      const image = this.covering('image', key, lsnEnd - 1);
      if (image === undefined || image.start < lsnStart) return false;
    }
    return true;
  }

  visible(readPoints: readonly number[]): string[] {
    const items = [
      ...this.#layers.map((layer) => ({
        lsn: layer.end - 1,
        rank: layer.kind === 'image' ? 1 : 0,
        layer,
      })),
      ...readPoints.map((lsn) => ({ lsn, rank: 2, layer: undefined })),
    ].sort((left, right) => right.lsn - left.lsn || right.rank - left.rank);
    const shadow = new Set<number>();
    const visible = new Set<ObviousLayer>();
    let waiting: ObviousLayer[] = [];
    for (const { lsn, layer } of items) {
      if (layer === undefined) {
        for (const delta of waiting) if (delta.start <= lsn) visible.add(delta);
        waiting = waiting.filter((delta) => delta.start > lsn);
        shadow.clear();
        continue;
      }
      waiting = waiting.filter((delta) => delta.start <= layer.start);
      let isLit = false;
      for (let key = layer.keyStart; key < layer.keyEnd; key += 1) {
        if (!shadow.has(key)) isLit = true;
        if (layer.kind === 'image') shadow.add(key);
      }
      if (isLit) visible.add(layer);
      else if (layer.kind === 'delta') waiting.push(layer);
    }
    return [...visible].map(({ name }) => name).sort();
  }

  /** The two layers of the first offence. `isOneKey` knows how many keys are between two numbers. */
  violation(isOneKey: (layer: ObviousLayer) => boolean): [string, string] | undefined {
    const deltas = this.#given.filter(({ kind }) => kind === 'delta');
    const wide = deltas.filter((delta) => !isOneKey(delta));
    const points = new Set(wide.flatMap(({ start, end }) => [start, end]));
    for (const delta of wide) {
      const inside = [...points].filter((lsn) => lsn >= delta.start && lsn < delta.end);
      if (inside.length <= 1) continue;
      const other = deltas.find(
        (candidate) =>
          candidate !== delta &&
          candidate.start < delta.end &&
          delta.start < candidate.end &&
          candidate.keyStart < delta.keyEnd &&
          delta.keyStart < candidate.keyEnd,
      );
      if (other !== undefined) return [delta.name, other.name];
    }
    return undefined;
  }

  /** Start and end of each run of keys without a layer, between the first and the last that have one. */
  holes(): [number, number][] {
    const placed = this.#layers.filter(({ isL0 }) => !isL0);
    const first = Math.min(...placed.map(({ keyStart }) => keyStart));
    const last = Math.max(...placed.map(({ keyEnd }) => keyEnd));
    const holes: [number, number][] = [];
    for (let key = first; key < last; key += 1) {
      if (placed.some(({ keyStart, keyEnd }) => keyStart <= key && key < keyEnd)) continue;
      const open = holes.at(-1);
      if (open !== undefined && open[1] === key) open[1] = key + 1;
      else holes.push([key, key + 1]);
    }
    return holes;
  }
}

function answer(layer: ObviousLayer | undefined, lsnFloor: number | undefined): ObviousAnswer {
  return { name: layer?.name ?? '', lsnFloor: lsnFloor ?? 0 };
}
