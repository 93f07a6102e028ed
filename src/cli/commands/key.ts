/** `key`: the meaning of a key, or the key for a meaning. */
import { formatKey } from '../../layers/key.ts';
import { explainKey } from '../../postgres/key-explanation.ts';
import { KEY_FIELDS_HELP } from '../../postgres/key-fields.ts';
import { describeKey } from '../../postgres/key-mapping.ts';
import { parseKeyWords } from '../arguments.ts';
import { paint } from '../colour.ts';
import { addCommand, addExamples, type CommandParents, type OptionValues } from '../command.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus } from '../exit-status.ts';
import { encodeJson, type Json } from '../json.ts';
import { formatOf, OBJECT_FORMAT } from '../shared-options.ts';
import { writeProperties } from '../table.ts';

type KeyOptions = OptionValues<typeof OBJECT_FORMAT>;

export function addKey({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'key', OBJECT_FORMAT)
    .description('Explain a key, or make one from fields.')
    .argument('<key...>', '36 hex digits, or fields')
    .action((words: string[], options: KeyOptions) =>
      runner((context) => key(context, words, options)),
    );
  addExamples(command, [
    ['layerfile key 000000067F00000005000040000000000007', 'block 7 of a relation'],
    ['layerfile key rel=1663/5/16384 fork=main blkno=7', 'its 36 digits'],
    ['layerfile key slru=clog segno=0 size --json', 'both, for programs'],
  ]);
  command.addHelpText('after', `\n${KEY_FIELDS_HELP}`);
}

async function key(
  { stdout }: Context,
  words: readonly string[],
  options: KeyOptions,
): Promise<ExitStatus> {
  const parsed = parseKeyWords(words);
  const text = formatKey(parsed);
  const meaning = meaningJson(describeKey(parsed));
  const isExplained = words.length === 1 && words[0]?.toUpperCase() === text;
  if (formatOf(options) !== 'people') {
    await stdout.write(`${encodeJson({ key: text, ...meaning })}\n`);
  } else if (isExplained) {
    await stdout.write(`${paint(stdout, 'bold', explainKey(parsed))}\n`);
    await writeProperties(
      stdout,
      Object.entries(meaning).map(([name, value]) => [name, String(value)]),
    );
  } else {
    // Only the digits, so that a shell can use them.
    await stdout.write(`${text}\n`);
  }
  return CLEAN;
}

/** A transaction id of 64 bits is a number if a number can hold it. */
function meaningJson(meaning: ReturnType<typeof describeKey>): Readonly<Record<string, Json>> {
  if (meaning.kind !== 'twophase') return { ...meaning };
  const xid = Number(meaning.xid);
  return { kind: meaning.kind, xid: Number.isSafeInteger(xid) ? xid : String(meaning.xid) };
}
