/** Keeps the newest versions of each key of a dump, whose entries ascend: by key, and within a key by LSN. */
import { compareKeys, type Key } from '../layers/key.ts';
import { rowOf } from '../layers/layer-file/entry-cursor.ts';
import { viewValue } from '../layers/value-format.ts';
import { printsContents, type ValuesMode } from './context.ts';
import type { DumpItem } from './dump-items.ts';
import { digestOf, type ShownContent, type ShownEntry } from './entry-json.ts';

const NO_BYTES = new Uint8Array(0);

/**
 * The items with at most `count` entries of each key, the newest, in the same order. Entries are copies; damage
 * stays in its place. Requires: `count` is at least 1.
 */
export async function* newestVersions(
  batches: AsyncIterable<Iterable<DumpItem>>,
  count: number,
  values: ValuesMode,
): AsyncGenerator<DumpItem[]> {
  let key: Key | undefined;
  let kept: DumpItem[] = [];
  for await (const batch of batches) {
    const done: DumpItem[] = [];
    for (const item of batch) {
      const isSame =
        item.kind === 'entry' && key !== undefined && compareKeys(item.shown.entry.key, key) === 0;
      if (!isSame) {
        done.push(...kept);
        kept = [];
      }
      if (item.kind !== 'entry') {
        done.push(item);
        continue;
      }
      const shown = copyOf(item.shown, values);
      key = shown.entry.key;
      kept.push({ kind: 'entry', shown });
      if (kept.length > count) kept.shift();
    }
    yield done;
  }
  yield kept;
}

function copyOf(shown: ShownEntry, values: ValuesMode): ShownEntry {
  const { entry, type, length } = shown;
  const { key, lsn, willInit, offset, storedLength, compressed } = entry;
  const row = rowOf({ key: key.slice(), lsn, willInit, offset, storedLength, compressed });
  return { entry: row, type, length, content: copyOfContent(shown, values) };
}

function copyOfContent(shown: ShownEntry, values: ValuesMode): ShownContent {
  if (values === 'sha256') return { kind: 'streamed', sha256: digestOf(shown) };
  if (!printsContents(values) || shown.content.kind === 'streamed') {
    return { kind: 'whole', bytes: NO_BYTES };
  }
  const { bytes: view, value } = shown.content;
  const bytes = view.slice();
  return { kind: 'whole', bytes, ...(value === undefined ? {} : { value: viewValue(bytes) }) };
}
