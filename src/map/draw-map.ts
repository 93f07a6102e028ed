/**
 * The page that draws a timeline: one HTML file that does not make any requests.
 *
 * Its Content-Security-Policy allows the one script and the one style sheet in it, by their hashes, and nothing else.
 * Text from the sources is embedded as JSON in a block that browsers do not run, and the script inserts it as text.
 */
import { createHash } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import { assert } from '../assert.ts';
import { printable } from '../printable.ts';
import { collectLayers } from './collect-layers.ts';
import type { PageAssets } from './page-assets.ts';
import { PAGE_BODY } from './page-body.ts';
import type { LeftOut } from './page-data.ts';
import type { Snapshot } from './snapshot.ts';

/** More than speed gains nothing: the columns are ascending numbers. */
const DEFLATE_LEVEL = 4;

/** What to draw. */
export interface MapOptions {
  /** Title of the page. It is not trusted. */
  readonly title: string;
  /** In the order of the slider. */
  readonly snapshots: readonly Snapshot[];
  readonly assets: PageAssets;
}

/** A page, and counts of what it shows. */
export interface DrawnMap {
  readonly html: string;
  /** How many layers there are in all snapshots; what several shards read counts once. */
  readonly layers: number;
  readonly leftOut: LeftOut;
}

/** Draws a timeline. Throws `too-large` for more layers than a layer map accepts. */
export function drawMap({ title, snapshots, assets }: MapOptions): DrawnMap {
  const { description, columns, objectCount } = collectLayers(title, snapshots);
  const { script, style } = assets;
  assert(!/<\/script|<!--/i.test(script), 'the program of the page does not end its element');
  assert(!/<\/style/i.test(style), 'the style sheet of the page does not end its element');
  const compressed = deflateSync(new Uint8Array(columns), { level: DEFLATE_LEVEL });
  const policy = [
    "default-src 'none'",
    `script-src '${hashOf(script)}'`,
    `style-src '${hashOf(style)}'`,
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
  const shownTitle = escapeHtml(printable(title));
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${shownTitle}</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<header><h1>${shownTitle}</h1><p id="summary"></p></header>
${PAGE_BODY}<script type="application/json" id="description">${escapeJson(description)}</script>
<script type="application/octet-stream" id="columns">${compressed.toString('base64')}</script>
<script>${script}</script>
</body>
</html>
`;
  return { html, layers: objectCount, leftOut: description.leftOut };
}

function hashOf(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}

/** JSON that cannot end the surrounding element, and in which hidden characters are escaped. */
function escapeJson(value: unknown): string {
  return JSON.stringify(value).replace(UNSAFE, (character) =>
    Array.from({ length: character.length }, (_, unit) => escapeUnit(character, unit)).join(''),
  );
}

const UNSAFE = /[<>&\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]/gu;

function escapeUnit(text: string, unit: number): string {
  return `\\u${text.charCodeAt(unit).toString(16).padStart(4, '0')}`;
}
