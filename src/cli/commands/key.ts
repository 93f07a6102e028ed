/** `key`: what a key means, or which key means it. */
import { formatKey } from '../../layers/key.ts';
import { explainKey } from '../../postgres/key-explanation.ts';
import { describeKey } from '../../postgres/key-mapping.ts';
import { paint } from '../colour.ts';
import type { Context, Format } from '../context.ts';
import { CLEAN, type ExitStatus } from '../exit-status.ts';
import { encodeJson, type Json } from '../json.ts';
import { parseKeyWords } from '../key-words.ts';
import { writeProperties } from '../table.ts';

export async function key(
  { stdout }: Context,
  { words, format }: { words: readonly string[]; format: Format },
): Promise<ExitStatus> {
  const parsed = parseKeyWords(words);
  const text = formatKey(parsed);
  const wasGiven = words.length === 1 && words[0]?.toUpperCase() === text;
  if (format !== 'people') {
    await stdout.write(`${encodeJson({ key: text, ...meaningJson(describeKey(parsed)) })}\n`);
  } else if (wasGiven) {
    await stdout.write(`${paint(stdout, 'bold', explainKey(parsed))}\n`);
    await writeProperties(
      stdout,
      Object.entries(meaningJson(describeKey(parsed))).map(([name, value]) => [
        name,
        String(value),
      ]),
    );
  } else {
    // The digits alone, so that a shell can take them.
    await stdout.write(`${text}\n`);
  }
  return CLEAN;
}

/** A transaction id of 64 bits is a number where a number can hold it. */
function meaningJson(meaning: ReturnType<typeof describeKey>): Readonly<Record<string, Json>> {
  if (meaning.kind !== 'twophase') return { ...meaning };
  const xid = Number(meaning.xid);
  return { kind: meaning.kind, xid: Number.isSafeInteger(xid) ? xid : String(meaning.xid) };
}
