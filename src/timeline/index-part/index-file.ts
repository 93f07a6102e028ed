/** Writes an index next to those of earlier generations, which are not changed. */
import { checkObject, checkText } from '../../check-options.ts';
import { isStorageError } from '../../errors.ts';
import { pathIn } from '../../virtual-file/absolute-path.ts';
import { type CreateOnceOptions, createFileOnce } from '../../write-once/create-once.ts';
import { formatGenerationSuffix, type Generation } from '../generation.ts';
import { INDEX_NAME } from '../remote-path.ts';
import { checkIndexPartArgument, type IndexPart } from './index-part.ts';

/** Options of `writeIndexPart`. */
export interface WriteIndexPartOptions extends CreateOnceOptions {
  /** The directory of the timeline. */
  readonly directory: string;
  /** In the name of the file. */
  readonly generation: Generation;
}

/**
 * Creates `index_part.json-{generation}` in a directory. An index of that generation is never
 * replaced.
 *
 * Durability: once it resolves, the index survives a crash.
 *
 * @returns The path of the file.
 * @throws `exists` if there is one of that generation; else as `createFileOnce`.
 */
export async function writeIndexPart(
  index: IndexPart,
  options: WriteIndexPartOptions,
): Promise<string> {
  checkIndexPartArgument('index', index);
  checkObject('options', options);
  const { directory, generation, ...creating } = options;
  checkText('directory', directory);
  const path = pathIn(directory, `${INDEX_NAME}${formatGenerationSuffix(generation)}`);
  try {
    await createFileOnce(path, index.format(), creating);
  } catch (error) {
    if (!isStorageError(error, 'exists')) throw error;
    throw error.with({ what: 'an index of this generation exists' });
  }
  return path;
}
