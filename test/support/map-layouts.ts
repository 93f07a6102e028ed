/** A tenant in a bucket, of indexes alone: what maps are drawn from. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from './temporary-directory.ts';

const KEYS = `${'0'.repeat(36)}-${'F'.repeat(36)}`;
export const NAME = `${KEYS}__0000000000000010-0000000000000020`;
export const TENANT = '0'.repeat(32);
export const [PARENT, CHILD] = ['1'.repeat(32), '2'.repeat(32)];

export function indexText(names: readonly string[], ancestor: string | null = null): string {
  return JSON.stringify({
    version: 15,
    layer_metadata: Object.fromEntries(
      names.map((name) => [name, { file_size: 9, generation: 1 }]),
    ),
    disk_consistent_lsn: '0/18',
    metadata_bytes: {
      disk_consistent_lsn: '0/18',
      prev_record_lsn: null,
      ancestor_timeline: ancestor,
      ancestor_lsn: ancestor === null ? '0/0' : '0/15',
      latest_gc_cutoff_lsn: '0/10',
      initdb_lsn: '0/10',
      pg_version: 17,
    },
    lineage: {},
  });
}

/** Two timelines of a tenant; the second one branched off the first. */
export function remoteLayout(): {
  readonly root: string;
  readonly parent: string;
  readonly child: string;
} {
  const root = temporaryDirectory();
  const timelines = join(root, 'tenants', TENANT, 'timelines');
  const [parent, child] = [join(timelines, PARENT), join(timelines, CHILD)];
  for (const directory of [parent, child]) mkdirSync(directory, { recursive: true });
  writeFileSync(join(parent, 'index_part.json'), indexText([]));
  writeFileSync(join(parent, 'index_part.json-0000000a'), indexText([NAME]));
  writeFileSync(join(parent, 'index_part.json-00000002'), indexText([]));
  writeFileSync(join(child, 'index_part.json-00000001'), indexText([NAME], PARENT));
  return { root, parent, child };
}
