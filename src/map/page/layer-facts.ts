/** Layers, keys and amounts in words. */
import { formatKey, type Key } from '../../layers/key.ts';
import { formatPgLsn } from '../../layers/lsn.ts';
import { explainKey } from '../../postgres/key-explanation.ts';
import { describeKey } from '../../postgres/key-mapping.ts';
import { printable } from '../../printable.ts';
import type { Amount, Model } from './model.ts';

/** A property of a layer: its name and its value. */
export type Fact = readonly [name: string, value: string];

/** What is known about a layer, in reading order. */
export function factsOf(model: Model, row: number): Fact[] {
  const facts: Fact[] = [
    ['Layer', levelText(model, row)],
    ['Keys', keysText(model.startKey(row), model.endKey(row))],
    ['LSNs', lsnsText(model, row)],
    ['Size', sizeText(model.size(row))],
    ['Generation', generationText(model.generation(row))],
  ];
  const shard = model.shard(row);
  if (shard !== undefined) facts.push(['Shard', `${shard.number} of ${shard.count}`]);
  facts.push(['Reads', reachText(model, row)]);
  facts.push(['Name', printable(model.name(row))]);
  return facts;
}

export function levelText(model: Model, row: number): string {
  const level = model.level(row);
  const kind = level === 'image' ? 'image' : `${level} delta`;
  const change = model.changeOf(row);
  if (model.shown === 0 || change === undefined || change === 'kept') return kind;
  return `${kind}, ${change} since the step before`;
}

export function reachText(model: Model, row: number): string {
  if (model.changeOf(row) === 'removed') return 'removed';
  return model.isVisible(row) ? 'visible: a read can reach it' : 'covered: no read reaches it';
}

export function lsnsText(model: Model, row: number): string {
  const start = formatPgLsn(model.startLsn(row));
  if (model.level(row) === 'image') return `at ${start}`;
  return `${start} up to ${formatPgLsn(model.endLsn(row))}, not included`;
}

/** A key range as blocks, if it lies in one fork of a relation. */
export function keysText(start: Key, end: Key): string {
  if (/^0{36}F{36}$/.test(formatKey(start) + formatKey(end))) return 'the whole key space';
  const first = describeKey(start);
  const last = describeKey(end);
  if (
    first.kind === 'rel_block' &&
    (last.kind === 'rel_block' || last.kind === 'rel_size') &&
    formatKey(start).slice(0, 28) === formatKey(end).slice(0, 28)
  ) {
    const { spcnode, dbnode, relnode, fork } = first;
    const relation = `relation ${spcnode}/${dbnode}/${relnode}, ${fork} fork`;
    if (last.kind === 'rel_size') return `${relation}, blocks from ${first.blkno} on`;
    if (last.blkno === first.blkno + 1) return `${relation}, block ${first.blkno}`;
    return `${relation}, blocks ${first.blkno} to ${last.blkno - 1}`;
  }
  return `${keyText(start)} up to ${keyText(end)}, not included`;
}

/** A key in words, or its digits if it has no meaning. */
export function keyText(key: Key): string {
  if (key[0] === 0xff) return 'the end of the key space';
  return describeKey(key).kind === 'unknown' ? formatKey(key) : explainKey(key);
}

/** A key in two short lines, for an axis. */
export function shortKey(key: Key): [upper: string, lower: string] {
  const meaning = describeKey(key);
  switch (meaning.kind) {
    case 'rel_block':
    case 'rel_size': {
      const { spcnode, dbnode, relnode, fork } = meaning;
      const place = meaning.kind === 'rel_size' ? 'size' : String(meaning.blkno);
      return [`${spcnode}/${dbnode}/${relnode}`, `${fork} ${place}`];
    }
    case 'relmap':
    case 'rel_dir':
      return [`${meaning.spcnode}/${meaning.dbnode}`, meaning.kind];
    case 'slru_block':
      return [meaning.slru, `${meaning.segno}/${meaning.blkno}`];
    case 'slru_size':
      return [meaning.slru, `${meaning.segno} size`];
    case 'slru_dir':
      return [meaning.slru, 'directory'];
    case 'twophase':
      return ['two-phase', String(meaning.xid)];
    case 'unknown':
      return [formatKey(key).slice(0, 18), formatKey(key).slice(18)];
    case 'metadata':
      return [`metadata ${formatKey(key).slice(0, 2)}`, formatKey(key).slice(2, 18)];
    default:
      return [meaning.kind.replaceAll('_', ' '), ''];
  }
}

export function generationText(generation: number | undefined): string {
  return generation === undefined ? 'none' : generation.toString(16).padStart(8, '0');
}

const UNITS = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

/** `1.5 MiB`; the exact number below 1 KiB. */
export function sizeText(bytes: bigint | undefined): string {
  if (bytes === undefined) return 'unknown';
  if (bytes < 1024n) return `${bytes} B`;
  let amount = Number(bytes);
  let unit = '';
  for (const name of UNITS) {
    amount /= 1024;
    unit = name;
    if (amount < 1023.95) break;
  }
  return `${amount < 99.95 ? amount.toFixed(1) : amount.toFixed(0)} ${unit}`;
}

/** `1,234 layers of 1.5 GiB`. */
export function amountText({ layers, ofUnknownSize, bytes }: Amount): string {
  if (ofUnknownSize === layers) return layersText(layers);
  const rest = ofUnknownSize === 0 ? '' : ` and ${countText(ofUnknownSize)} of unknown size`;
  return `${layersText(layers)} of ${sizeText(bytes)}${rest}`;
}

/** `1,234 layers`. */
export function layersText(count: number): string {
  return `${countText(count)} ${count === 1 ? 'layer' : 'layers'}`;
}

export function countText(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',');
}
