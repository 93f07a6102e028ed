/**
 * Pruning and freezing of a heap page, from 16 on, where the lists in the data of block 0 are printed.
 *
 *   PRUNE 16         main: u32 horizon, u16 redirected, u16 dead
 *                    block: redirected * (u16 from, u16 to), dead * u16, the rest u16: unused
 *   VACUUM 16        main: u16 n; block: n * u16
 *   FREEZE_PAGE 16   main: u32 horizon, u16 plans; block: plans, then the u16 offsets of all plans
 *   PRUNE_* 17       main: u8 reason, u8 flags, u32 horizon (unaligned, only with flag 8)
 *                    block, each part only with its flag, in this order: 0x10 u16 n, _2, n plans;
 *                    0x20 u16 n, n * (u16 from, u16 to); 0x40 u16 n, n * u16 dead; 0x80 u16 n, n * u16 unused;
 *                    then the u16 offsets of all plans
 *   a plan           u32 xmax, u16 infomask2, u16 infomask, u8 flags, _1, u16 number of offsets
 *
 * Source: Postgres src/include/access/heapam_xlog.h, src/backend/access/rmgrdesc/heapdesc.c.
 */
import { u16In, u32In } from '../main-data/layout.ts';
import { blockDataOf, type Subject } from './kind-text.ts';
import { ListReader } from './lists.ts';

/** The lists of a PRUNE of 16. */
export function describePrune16(subject: Subject): string {
  const block = blockDataOf(subject);
  if (block === undefined) return '';
  const main = new ListReader(subject.data, 4);
  const redirectedCount = main.u16('number of redirections');
  const deadCount = main.u16('number of dead rows');
  const reader = new ListReader(block);
  const redirected = redirections(reader, redirectedCount);
  const dead = reader.u16List('dead rows', deadCount);
  const unusedCount = (block.length - reader.at) >> 1;
  const unused = reader.u16List('unused rows', unusedCount);
  return `, nunused: ${unusedCount}, redirected: ${redirected}, dead: ${dead}, unused: ${unused}`;
}

/** The list of a VACUUM of 16. */
export function describeUnused16(subject: Subject): string {
  const block = blockDataOf(subject);
  if (block === undefined) return '';
  const count = new ListReader(subject.data).u16('number of unused rows');
  return `, unused: ${new ListReader(block).u16List('unused rows', count)}`;
}

/** The plans of a FREEZE_PAGE of 16. */
export function describeFreezePlans(subject: Subject): string {
  const block = blockDataOf(subject);
  if (block === undefined) return '';
  const count = new ListReader(subject.data, 4).u16('number of plans');
  const reader = new ListReader(block);
  const plansAt = reader.take('plans', count * PLAN_SIZE);
  return `, plans: ${plans(reader, plansAt, count)}`;
}

const CATALOG_RELATION = 0x02;
const HAS_HORIZON = 0x08;
const HAS_PLANS = 0x10;
const HAS_REDIRECTIONS = 0x20;
const HAS_DEAD = 0x40;
const HAS_UNUSED = 0x80;

/** All of a PRUNE_* of 17. */
export function describePrune17(subject: Subject): string {
  const main = new ListReader(subject.data, 1);
  const flags = main.u8('flags');
  const horizon =
    (flags & HAS_HORIZON) === 0 ? '' : `snapshotConflictHorizon: ${main.u32('horizon')}`;
  const isCatalog = (flags & CATALOG_RELATION) === 0 ? 'F' : 'T';
  return `${horizon}, isCatalogRel: ${isCatalog}${prunedRows(blockDataOf(subject), flags)}`;
}

function prunedRows(block: Uint8Array | undefined, flags: number): string {
  if (block === undefined) return '';
  const reader = new ListReader(block);
  const countOf = (flag: number, what: string): number =>
    (flags & flag) === 0 ? 0 : reader.u16(what);
  const planCount = countOf(HAS_PLANS, 'number of plans');
  if ((flags & HAS_PLANS) !== 0) reader.take('padding', 2);
  const plansAt = reader.take('plans', planCount * PLAN_SIZE);
  const redirectedCount = countOf(HAS_REDIRECTIONS, 'number of redirections');
  const redirected = redirections(reader, redirectedCount);
  const deadCount = countOf(HAS_DEAD, 'number of dead rows');
  const dead = reader.u16List('dead rows', deadCount);
  const unusedCount = countOf(HAS_UNUSED, 'number of unused rows');
  const unused = reader.u16List('unused rows', unusedCount);
  return (
    `, nplans: ${planCount}, nredirected: ${redirectedCount}, ndead: ${deadCount}, nunused: ${unusedCount}` +
    (planCount === 0 ? '' : `, plans: ${plans(reader, plansAt, planCount)}`) +
    (redirectedCount === 0 ? '' : `, redirected: ${redirected}`) +
    (deadCount === 0 ? '' : `, dead: ${dead}`) +
    (unusedCount === 0 ? '' : `, unused: ${unused}`)
  );
}

function redirections(reader: ListReader, count: number): string {
  const pair = (data: Uint8Array, at: number) => `${u16In(data, at)}->${u16In(data, at + 2)}`;
  return reader.list('redirections', count, 4, pair);
}

const PLAN_SIZE = 12;

/** Requires: the plans are within the data; the reader is at the offsets, which begin with those of the first plan. */
function plans(reader: ListReader, plansAt: number, count: number): string {
  const texts: string[] = [];
  for (let at = plansAt; texts.length < count; at += PLAN_SIZE) {
    const { data } = reader;
    const offsetCount = u16In(data, at + 10);
    const offsets = reader.u16List('offsets of a plan', offsetCount);
    const masks = `infomask: ${u16In(data, at + 6)}, infomask2: ${u16In(data, at + 4)}`;
    const xmax = u32In(data, at);
    texts.push(`{ xmax: ${xmax}, ${masks}, ntuples: ${offsetCount}, offsets: ${offsets} }`);
  }
  return `[${texts.join(', ')}]`;
}
