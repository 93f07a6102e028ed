/** Layers of maps, and pages without a program. */
import { inflateSync } from 'node:zlib';
import { drawMap } from '../../src/map/draw-map.ts';
import { Model } from '../../src/map/page/model.ts';
import type { PageDescription } from '../../src/map/page-data.ts';
import type { Snapshot } from '../../src/map/snapshot.ts';

/** A key of relation 1663/5, main fork. */
export function relationKey(relation: number, block: number): string {
  return `00${hex(1663, 8)}${hex(5, 8)}${hex(relation, 8)}00${hex(block, 8)}`;
}

export const FIRST_KEY = '0'.repeat(36);
export const LAST_KEY = 'F'.repeat(36);

/** The name of a delta, or of an image if there is no end LSN. */
export function layerName(
  start: string,
  end: string,
  lsns: { readonly lsn: bigint; readonly end?: bigint },
): string {
  const suffix = lsns.end === undefined ? '' : `-${hex(lsns.end, 16)}`;
  return `${start}-${end}__${hex(lsns.lsn, 16)}${suffix}`;
}

export function hex(value: number | bigint, digits: number): string {
  return value.toString(16).toUpperCase().padStart(digits, '0');
}

/** A snapshot of names without anything else. */
export function snapshotOf(...names: string[]): Snapshot {
  return { label: 'names', layers: names.map((name) => ({ name })) };
}

export const NO_ASSETS = { script: '', style: '' };

/** The model that the program of a page makes of it. */
export function modelOf(...snapshots: Snapshot[]): Model {
  return modelOfPage(drawMap({ title: 'map', snapshots, assets: NO_ASSETS }).html);
}

export function modelOfPage(html: string): Model {
  const compressed = Buffer.from(contentOf(html, 'columns'), 'base64');
  const columns = inflateSync(compressed);
  return new Model(
    descriptionOf(html),
    columns.buffer.slice(
      columns.byteOffset,
      columns.byteOffset + columns.byteLength,
    ) as ArrayBuffer,
  );
}

export function descriptionOf(html: string): PageDescription {
  return JSON.parse(contentOf(html, 'description'));
}

function contentOf(html: string, id: string): string {
  const start = html.indexOf('>', html.indexOf(`id="${id}"`)) + 1;
  return html.slice(start, html.indexOf('</script>', start));
}
