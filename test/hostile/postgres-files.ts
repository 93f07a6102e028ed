/** What is read of a data directory: pg_control, names, pages. */
import { CLUSTER_STATES, decodeControlFile } from '../../src/postgres/control-file.ts';
import { checkPageChecksum, PAGE_SIZE, pageChecksum } from '../../src/postgres/page.ts';
import { parseOid, parseRelationFileName } from '../../src/postgres/relation-file-name.ts';
import { controlFileBytes, seal } from '../support/control-file.ts';
import { noise } from '../support/layers.ts';
import { must, read } from './expectations.ts';
import { type Choose, mutateBytes } from './mutations.ts';

export const RELATION_NAMES = [
  '16384',
  '16384_fsm',
  '16384_vm.2',
  't3_16384_fsm.1',
  'pg_filenode.map',
  'pg_internal.init.123',
  '4294967295.4294967295',
];

const CONTROL_FILE = controlFileBytes();
const USED_SIZE = 292;

/** With a right checksum more often than not, so that what lies after it is reached. */
export function mutatedControlFile(choose: Choose): Buffer {
  const used = mutateBytes(CONTROL_FILE.subarray(0, USED_SIZE), choose);
  if (choose(4) === 0) return used;
  const bytes = Buffer.alloc(Math.max(USED_SIZE, used.length));
  used.copy(bytes);
  seal(bytes);
  return bytes;
}

/** A page of noise, with a right checksum in one of two. */
export function randomPage(choose: Choose): Buffer {
  if (choose(8) === 0) return Buffer.alloc(choose(2) === 0 ? PAGE_SIZE : choose(PAGE_SIZE));
  const page = Buffer.from(noise(PAGE_SIZE, choose(1000)));
  if (choose(2) === 0) page.writeUInt16LE(pageChecksum(page, BLOCK_NUMBER), 8);
  return page;
}

const BLOCK_NUMBER = 7;

export function checkControlFile(bytes: Buffer): boolean {
  const control = read(() => decodeControlFile(bytes), false);
  if (control === undefined) return false;
  must(CLUSTER_STATES.includes(control.state), 'a cluster is in a state');
  must(control.majorVersion >= 14 && control.majorVersion <= 17, 'a version is one that is read');
  must(control.segmentPageCount > 0, 'segments have pages');
  return true;
}

export function checkRelationName(name: string): boolean {
  const oid = parseOid(name);
  must(oid === undefined || String(oid) === name, 'a number is written as read');
  const parsed = parseRelationFileName(name);
  if (parsed.kind !== 'segment') return false;
  const { relnode, fork, segmentNumber } = parsed;
  const fromFork = fork === 'main' ? '' : `_${fork}`;
  const fromSegment = segmentNumber === 0 ? '' : `.${segmentNumber}`;
  must(`${relnode}${fromFork}${fromSegment}` === name, 'a name is written as read');
  return true;
}

export function checkPage(bytes: Buffer): boolean {
  const state = read(() => checkPageChecksum(bytes, BLOCK_NUMBER), false, ['invalid-input']);
  must((state === undefined) === (bytes.length !== PAGE_SIZE), 'pages have one size');
  return state === 'good' || state === 'new';
}
