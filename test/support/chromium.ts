/**
 * The Chromium that tests of pages run in: `LAYERFILE_CHROMIUM`, or the first of the usual names in PATH.
 * `LAYERFILE_CHROMIUM=required`, which continuous integration sets, makes its absence a failure.
 */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];

const { LAYERFILE_CHROMIUM: wanted = '', PATH: path = '' } = process.env;

/** Whether tests must fail without a Chromium. */
export const IS_CHROMIUM_REQUIRED = wanted === 'required';

/** The path of the program; undefined if there is none. */
export const CHROMIUM: string | undefined =
  wanted !== '' && !IS_CHROMIUM_REQUIRED ? wanted : findInPath();

/** Why tests are left out, for their name. */
export const WITHOUT_CHROMIUM =
  'left out: no chromium in PATH; install one, or name one in LAYERFILE_CHROMIUM';

function findInPath(): string | undefined {
  return path
    .split(delimiter)
    .flatMap((directory) => NAMES.map((name) => join(directory, name)))
    .find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
