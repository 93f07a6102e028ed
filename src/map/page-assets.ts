/** The program and the style sheet of the page, which the build puts next to the modules. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { fromNodeError } from '../virtual-file/system-error.ts';

/** The parts that all pages share. */
export interface PageAssets {
  /** JavaScript. */
  readonly script: string;
  /** CSS. */
  readonly style: string;
}

const SCRIPT = './map-page.js';
const STYLE = './map-page.css';
const HERE = import.meta.url;

/**
 * Reads the assets.
 *
 * @param directory Default: that of this module.
 * @throws `not-found`, `io`.
 */
export async function readPageAssets(directory: string | URL = HERE): Promise<PageAssets> {
  const [script, style] = await Promise.all(
    [SCRIPT, STYLE].map((name) => readText(new URL(name, directory))),
  );
  return { script: script ?? '', style: style ?? '' };
}

async function readText(place: URL): Promise<string> {
  try {
    return await readFile(place, 'utf8');
  } catch (error) {
    throw fromNodeError('read a part of the page', fileURLToPath(place), error);
  }
}
