/**
 * Overwrites a file without end with its own letter and a number, and tells each that is durable; or,
 * as a module, gives the library away: a copy of the package for each time it is loaded.
 */
import { overwriteFile } from '../../../src/write-once/overwrite.ts';

export { overwriteFile };

export interface OverwritingProcessInput {
  readonly path: string;
  readonly letter: string;
}

const [, , input] = process.argv;
if (input?.startsWith('{')) {
  const { path, letter }: OverwritingProcessInput = JSON.parse(input);
  for (let version = 1; ; version += 1) {
    await overwriteFile(path, `${letter}${version}:`.repeat(3000));
    console.log(version);
  }
}
