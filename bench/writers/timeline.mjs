/** An index_part.json of a large timeline: rows of L1s, images here and there, L0s on top. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomNumbers } from '../inputs/random.mjs';

const L0_COUNT = 40;
const ROW_LSNS = 0x1000_0000n;
const L0_LSNS = 0x100_0000n;
const FIRST_LSN = 0x100_0000n;
const FIRST_RELATION = 16_384;

/** Returns: the path of the index. */
export function writeTimelineIndex(directory, count) {
  const next = randomNumbers(1);
  const random = () => next() / 2 ** 32;
  const layers = {};
  let made = 0;
  const add = (name) => {
    layers[name] = { file_size: 128 * 2 ** 20 + Math.floor(random() * 1e7), generation: 1 };
    made += 1;
  };
  const columns = Math.ceil(Math.sqrt(count) * 1.2);
  let lsn = FIRST_LSN;
  for (; made < count - L0_COUNT; lsn += ROW_LSNS) {
    const end = lsn + ROW_LSNS;
    let [relation, block] = [FIRST_RELATION, 0];
    for (let column = 0; column < columns && made < count - L0_COUNT; column += 1) {
      const start = keyOf(relation, block);
      block += 1 + Math.floor(random() * 20_000);
      if (random() < 0.1) [relation, block] = [relation + 1 + Math.floor(random() * 3), 0];
      const keys = `${start}-${keyOf(relation, block)}`;
      if (random() < 0.12) add(`${keys}__${hex(lsn, 16)}`);
      else add(`${keys}__${hex(lsn + 1n, 16)}-${hex(end + 1n, 16)}`);
    }
  }
  for (; made < count; lsn += L0_LSNS) {
    const keys = `${'0'.repeat(36)}-${'F'.repeat(36)}`;
    add(`${keys}__${hex(lsn + 1n, 16)}-${hex(lsn + L0_LSNS + 1n, 16)}`);
  }
  const path = join(directory, 'index_part.json');
  writeFileSync(path, JSON.stringify(indexOf(layers, lsn)));
  return path;
}

function indexOf(layers, lsn) {
  return {
    version: 15,
    layer_metadata: layers,
    disk_consistent_lsn: lsnText(lsn),
    metadata_bytes: {
      disk_consistent_lsn: lsnText(lsn),
      prev_record_lsn: null,
      ancestor_timeline: null,
      ancestor_lsn: '0/0',
      latest_gc_cutoff_lsn: lsnText((lsn / 16n / 2n) * 16n),
      initdb_lsn: lsnText(FIRST_LSN),
      pg_version: 17,
    },
    lineage: {},
  };
}

function keyOf(relation, block) {
  return `00${hex(1663, 8)}${hex(5, 8)}${hex(relation, 8)}00${hex(block, 8)}`;
}

function lsnText(lsn) {
  return `${(lsn >> 32n).toString(16)}/${(lsn & 0xffff_ffffn).toString(16)}`.toUpperCase();
}

function hex(value, digits) {
  return value.toString(16).toUpperCase().padStart(digits, '0');
}
