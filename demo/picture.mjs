/**
 * Makes docs/images/map.png: the timeline of a pageserver, before six L0s were compacted, and the path of
 * a read. Needs a Chromium, and `npm run build`.
 *
 *   node demo/picture.mjs
 */
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const HERE = fileURLToPath(new URL('./picture/', import.meta.url));
const CLI = fileURLToPath(new URL('../dist/cli.js', import.meta.url));
const PICTURE = fileURLToPath(new URL('../docs/images/map.png', import.meta.url));
const STEPS = ['index_part.json-00000001', 'before-compaction.txt', 'index_part.json-00000002'];
const READ = 'rel=1663/16384/16453 blkno=3 @ 0/6FFFFF0';

const directory = await mkdtemp(join(tmpdir(), 'layerfile-picture-'));
const isRoot = process.getuid?.() === 0;
const browser = await chromium.launch({
  executablePath: process.env.LAYERFILE_CHROMIUM ?? '/usr/bin/chromium',
  args: isRoot ? ['--no-sandbox'] : [],
});
try {
  const map = join(directory, 'map.html');
  const sources = STEPS.map((name) => join(HERE, name));
  const title = 'A timeline of Postgres 17';
  execFileSync(process.execPath, [CLI, 'map', ...sources, '--title', title, '--out', map]);
  const page = await browser.newPage({ viewport: { width: 1200, height: 728 } });
  await page.goto(pathToFileURL(map).href);
  await page.waitForSelector('html[data-state=ready]');
  await page.click('#snapshot-before');
  await page.fill('#query', READ);
  await page.press('#query', 'Enter');
  await page.locator('#query').blur();
  await page.mouse.move(0, 0);
  await page.screenshot({ path: PICTURE });
} finally {
  await browser.close();
  await rm(directory, { recursive: true });
}
