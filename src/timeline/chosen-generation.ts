/**
 * Chooses the index or manifest to use among those of several generations.
 *
 * For a pageserver that is attached in a generation: the highest that is not above it, else the one
 * without a generation. Higher ones are ignored. Without an attachment: the highest of all, else the
 * one without.
 */
import { itemsOf } from '../check-options.ts';
import { compareGenerations, type Generation } from './generation.ts';
import { indexGeneration, manifestGeneration } from './remote-path.ts';

/** The chosen name, and its generation. */
export interface ChosenName {
  /** As it was given. */
  readonly name: string;
  /** Undefined if the name has none. */
  readonly generation: Generation;
}

/**
 * Chooses the index to use among the file names of a timeline's directory; other names are ignored.
 *
 * @param attachedGeneration - That of the pageserver; undefined if none is attached.
 * @returns Undefined if there is none: the timeline does not exist.
 */
export function chooseIndex(
  names: Iterable<string>,
  attachedGeneration?: Generation,
): ChosenName | undefined {
  return choose(names, indexGeneration, attachedGeneration);
}

/** As `chooseIndex`, for the manifests of a tenant. */
export function chooseManifest(
  names: Iterable<string>,
  attachedGeneration?: Generation,
): ChosenName | undefined {
  return choose(names, manifestGeneration, attachedGeneration);
}

function choose(
  names: Iterable<string>,
  generationOf: (name: string) => Generation | 'invalid',
  attached: Generation,
): ChosenName | undefined {
  let chosen: ChosenName | undefined;
  for (const name of itemsOf('names', names)) {
    const generation = generationOf(name);
    if (generation === 'invalid') continue;
    if (attached !== undefined && compareGenerations(generation, attached) > 0) continue;
    const isHigher = chosen === undefined || compareGenerations(generation, chosen.generation) > 0;
    if (isHigher) chosen = { name, generation };
  }
  return chosen;
}
