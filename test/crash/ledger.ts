/**
 * What a disk may hold after a crash: for each name the contents that may stand there, as far as
 * callers of the library were promised.
 *
 * An attempt that is under way may have taken place or not. Once it resolves, its content is what
 * must be there; once it rejects, `outcome` says what may be.
 */
import { isStorageError, type StorageError } from '../../src/errors.ts';

/** Nothing stands for "no such file". */
export type Content = Uint8Array | undefined;

export type Allowed = ReadonlyMap<string, readonly Content[]>;

export interface AttemptOptions {
  /** Never replaces: once it has succeeded, no other attempt may take the name any more. */
  readonly creates?: boolean;
  /** By a process of its own: of attempts that overlap, nobody knows which one was the last. */
  readonly races?: boolean;
}

/** An attempt that races others for its name. */
interface Race {
  readonly path: string;
  /** What may stand under the name though it succeeds, since another one may have been the last. */
  readonly others: Content[];
}

interface Name {
  /** What may be there even if nothing of what is under way takes place. */
  readonly settled: readonly Content[];
  readonly underWay: readonly Content[];
}

export class Ledger {
  /** Called whenever a caller was promised something new. */
  onChange: ((event: string) => void) | undefined;
  readonly #names = new Map<string, Name>();
  readonly #races = new Set<Race>();
  #allowed: Allowed | undefined;

  /** The file is there, durably, or nothing is. */
  settle(path: string, content: Content): void {
    this.#set(path, { settled: [content], underWay: [] });
  }

  /**
   * Runs the action that is to make the content the file's.
   * Returns: what it rejected with, if it did.
   */
  async attempt(
    path: string,
    content: Content,
    action: () => Promise<unknown>,
    options: AttemptOptions = {},
  ): Promise<StorageError | undefined> {
    this.#begin(path, content);
    const race: Race = { path, others: [] };
    if (options.races) this.#races.add(race);
    try {
      await action();
    } catch (error) {
      if (!isStorageError(error)) throw error;
      this.#reject(race, content, error);
      return error;
    } finally {
      this.#races.delete(race);
    }
    const { underWay } = this.#name(path);
    this.#tellOthers(path, [content]);
    this.#set(path, {
      settled: [content, ...race.others],
      underWay: options.creates ? [] : without(underWay, content),
    });
    this.onChange?.(`acknowledged ${path}`);
    return undefined;
  }

  /** Every file that may be there; the map does not change any more. */
  get allowed(): Allowed {
    this.#allowed ??= new Map(
      [...this.#names].map(([path, { settled, underWay }]) => [path, [...settled, ...underWay]]),
    );
    return this.#allowed;
  }

  #begin(path: string, content: Content): void {
    const { settled, underWay } = this.#name(path);
    this.#set(path, { settled, underWay: [...underWay, content] });
  }

  /** Attempts for the name that are under way. */
  #tellOthers(path: string, contents: readonly Content[]): void {
    for (const race of this.#races) if (race.path === path) race.others.push(...contents);
  }

  #reject({ path, others }: Race, content: Content, error: StorageError): void {
    const { settled, underWay } = this.#name(path);
    const left = without(underWay, content);
    switch (error.outcome) {
      case 'not-applied':
        this.#set(path, { settled, underWay: left });
        break;
      case 'in-doubt':
        // A sync that failed may have lost the renames of others, who are not told.
        this.#tellOthers(path, [content, ...settled]);
        this.#set(path, { settled: [...settled, content], underWay: left });
        break;
      case 'durable':
        this.#tellOthers(path, [content]);
        this.#set(path, { settled: [content, ...others], underWay: left });
        break;
      default:
        throw new Error(`${path}: nobody says what is on disk: ${error.message}`);
    }
    this.onChange?.(`${error.outcome} ${path}`);
  }

  #name(path: string): Name {
    return this.#names.get(path) ?? { settled: [undefined], underWay: [] };
  }

  #set(path: string, name: Name): void {
    this.#names.set(path, name);
    this.#allowed = undefined;
  }
}

/** One occurrence less. */
function without(contents: readonly Content[], content: Content): Content[] {
  const index = contents.indexOf(content);
  return contents.filter((_, at) => at !== index);
}
