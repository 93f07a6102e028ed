/** The page in a real Chromium. `npm test` builds the program that writes it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { namesSnapshot } from '../../src/cli/map-source.ts';
import { drawMap } from '../../src/map/draw-map.ts';
import { readPageAssets } from '../../src/map/page-assets.ts';
import type { Snapshot } from '../../src/map/snapshot.ts';
import { CHROMIUM, IS_CHROMIUM_REQUIRED, WITHOUT_CHROMIUM } from '../support/chromium.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { FIRST_KEY, LAST_KEY, layerName, relationKey } from './support.ts';

const BUILT = new URL('../../dist/', import.meta.url);

test('a Chromium exists where it is required', () => {
  expect(CHROMIUM !== undefined || !IS_CHROMIUM_REQUIRED).toBe(true);
});

const A = relationKey(16384, 0);
const B = relationKey(16384, 100);
const C = relationKey(16385, 0);
const IMAGE = layerName(A, C, { lsn: 16n });
const DELTA = layerName(A, B, { lsn: 17n, end: 33n });
const OTHER = layerName(B, C, { lsn: 17n, end: 33n });
const L0 = layerName(FIRST_KEY, LAST_KEY, { lsn: 33n, end: 49n });
const FAR = layerName(relationKey(20000, 0), relationKey(20000, 9), { lsn: 16n });

function indexed(label: string, gcCutoffLsn: bigint, names: readonly string[]): Snapshot {
  const layers = names.map((name) => ({ name, size: 1_572_864, generation: 1 }));
  return { label, layers, gcCutoffLsn, diskConsistentLsn: 48n };
}

const TWO_INDEXES = [
  indexed('index_part.json-00000001', 16n, [IMAGE, L0, FAR]),
  indexed('index_part.json-00000002', 17n, [IMAGE, DELTA, OTHER, FAR]),
];

/** The pixels of the map; of a copy, since Chromium warns of reading the same canvas often. */
const PIXELS = `(() => {
  const map = document.querySelector('canvas');
  const copy = new OffscreenCanvas(map.width, map.height);
  const context = copy.getContext('2d', { willReadFrequently: true });
  context.drawImage(map, 0, 0);
  return context.getImageData(0, 0, copy.width, copy.height);
})()`;

interface OpenPage {
  readonly page: Page;
  /** Errors of the console, exceptions, and requests other than for the page. */
  readonly troubles: readonly string[];
}

const isLeftOut = CHROMIUM === undefined && !IS_CHROMIUM_REQUIRED;

describe.skipIf(isLeftOut)(isLeftOut ? `the page (${WITHOUT_CHROMIUM})` : 'the page', () => {
  let browser: Browser;
  /** For all maps that need nothing of their reader: a page costs three times as much as a map in it. */
  let plainPage: Page;

  beforeAll(async () => {
    // The sandbox of Chromium does not run as root.
    const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
    browser = await chromium.launch({ executablePath: CHROMIUM ?? 'chromium', args });
    plainPage = await newPage({});
  });

  afterAll(() => browser?.close());

  function newPage(reader: BrowserContextOptions): Promise<Page> {
    return browser.newPage({ viewport: { width: 1000, height: 800 }, ...reader });
  }

  /** Writes a map, of two indexes unless something else is given, and opens it; for a reader of its own if one is given. */
  async function openMap(
    options: {
      readonly title?: string;
      readonly snapshots?: readonly Snapshot[];
      readonly reader?: BrowserContextOptions;
    } = {},
  ): Promise<OpenPage> {
    const { title = 'map', snapshots = TWO_INDEXES, reader } = options;
    const file = join(temporaryDirectory(), 'map.html');
    writeFileSync(file, drawMap({ title, snapshots, assets: await readPageAssets(BUILT) }).html);
    const page = reader === undefined ? plainPage : await newPage(reader);
    // What the map of the test before did is over, and nothing is under the mouse.
    await page.goto('about:blank');
    page.removeAllListeners();
    await page.mouse.move(0, 0);
    const troubles: string[] = [];
    page.on('console', (message) => troubles.push(`${message.type()}: ${message.text()}`));
    page.on('pageerror', (error) => troubles.push(String(error)));
    page.on('dialog', (dialog) => troubles.push(dialog.message()));
    const url = pathToFileURL(file).href;
    page.on('request', (request) => {
      if (request.url() !== url) troubles.push(`request ${request.url()}`);
    });
    await page.goto(url);
    await page.waitForSelector('html[data-state]');
    expect(await page.getAttribute('html', 'data-state')).toBe('ready');
    return { page, troubles };
  }

  /** A place in the plot, as parts of its width and height. */
  async function placeOf(page: Page, across: number, down: number) {
    const bounds = await page.locator('#map').boundingBox();
    if (bounds === null) throw new Error('the map has no place');
    return {
      x: bounds.x + 92 + across * (bounds.width - 102),
      y: bounds.y + 10 + down * (bounds.height - 56),
    };
  }

  /** How many colours the map has, and a digest of its pixels, when what was asked for is drawn. */
  function lookAt(page: Page): Promise<{ colours: number; digest: number }> {
    return page.evaluate(`new Promise((resolve) => {
      requestAnimationFrame(() => {
        const pixels = new Uint32Array(${PIXELS}.data.buffer);
        let digest = 0;
        for (const pixel of pixels) digest = (Math.imul(digest, 31) + pixel) | 0;
        resolve({ colours: new Set(pixels).size, digest });
      });
    })`);
  }

  test('the page is drawn, the same each time, without an error or a request', async () => {
    const { page, troubles } = await openMap();
    expect(await page.textContent('#summary')).toBe('4 layers of 6.0 MiB');
    const first = await lookAt(page);
    expect(first.colours).toBeGreaterThan(8);
    expect((await page.screenshot()).length).toBeGreaterThan(10_000);
    await page.reload();
    await page.waitForSelector('html[data-state=ready]');
    expect(await lookAt(page)).toEqual(first);
    expect(troubles).toEqual([]);
  });

  test('the page says what lies under the mouse', async () => {
    const { page, troubles } = await openMap();
    const { x, y } = await placeOf(page, 0.25, 0.5);
    await page.mouse.move(x, y);
    const lines = await page.locator('#tooltip div').allTextContents();
    expect(lines).toEqual([
      'Layer: L1 delta, added since the step before',
      'Keys: relation 1663/5/16384, main fork, blocks 0 to 99',
      'LSNs: 0/11 up to 0/21, not included',
      'Size: 1.5 MiB',
      'Generation: 00000001',
      'Reads: visible: a read can reach it',
      `Name: ${DELTA}`,
    ]);
    await page.mouse.move(2, 2);
    expect(await page.isHidden('#tooltip')).toBe(true);
    expect(troubles).toEqual([]);
  });

  test('the page follows a read that is searched for', async () => {
    const { page, troubles } = await openMap();
    const before = await lookAt(page);
    await page.fill('#query', 'rel=1663/5/16384 blkno=7 @ 0/30');
    await page.press('#query', 'Enter');
    expect(await page.locator('#path li').allTextContents()).toEqual([
      'L1 delta, added since the step before, from 0/30 down to 0/11',
      'image, from 0/10 down to 0/10',
    ]);
    expect(await page.textContent('#path p:last-child')).toMatch(/^The read ends here: an image/);
    expect(await lookAt(page)).not.toEqual(before);
    await page.fill('#query', 'no key');
    await page.press('#query', 'Enter');
    expect(await page.textContent('#path .problem')).toMatch(/unknown kind or field "no"/);
    expect(troubles).toEqual([]);
  });

  test('the page steps from one index to the next', async () => {
    const { page, troubles } = await openMap();
    const second = await lookAt(page);
    expect(await page.textContent('#changes')).toBe(
      'Since the step before: 2 layers of 3.0 MiB added, 1 layer of 1.5 MiB removed.',
    );
    await page.focus('#snapshot');
    await page.keyboard.press('ArrowLeft');
    expect(await page.textContent('#summary')).toBe('3 layers of 4.5 MiB');
    expect(await page.textContent('#snapshot-label')).toBe('1 of 2: index_part.json-00000001');
    expect(await lookAt(page)).not.toEqual(second);
    await page.click('#snapshot-after');
    expect(await lookAt(page)).toEqual(second);
    expect(troubles).toEqual([]);
  });

  test('the page is used with the keyboard alone', async () => {
    const { page, troubles } = await openMap();
    await page.focus('#map');
    const whole = await lookAt(page);
    await page.keyboard.press('+');
    const nearer = await lookAt(page);
    await page.keyboard.press('ArrowUp');
    const moved = await lookAt(page);
    expect(new Set([whole, nearer, moved].map(({ digest }) => digest)).size).toBe(3);
    await page.keyboard.press('0');
    expect(await lookAt(page)).toEqual(whole);
    await page.keyboard.press('n');
    expect(await page.locator('#details dd').first().textContent()).toBe('image');
    await page.keyboard.press('r');
    expect(await page.locator('#path li').count()).toBe(1);
    await page.keyboard.press('Enter');
    expect(await lookAt(page)).not.toEqual(whole);
    await page.keyboard.press('Escape');
    await page.keyboard.press('0');
    expect(await lookAt(page)).toEqual(whole);
    expect(troubles).toEqual([]);
  });

  test('the page moves with a dragged mouse, a wheel and two fingers', async () => {
    const { page, troubles } = await openMap({ reader: { hasTouch: true } });
    const looks = [await lookAt(page)];
    const { x, y } = await placeOf(page, 0.5, 0.5);
    await page.mouse.move(x, y);
    await page.mouse.down();
    await page.mouse.move(x - 80, y + 40, { steps: 3 });
    await page.mouse.up();
    looks.push(await lookAt(page));
    await page.mouse.wheel(0, -200);
    await expect.poll(() => lookAt(page)).not.toEqual(looks[1]);
    looks.push(await lookAt(page));
    const session = await page.context().newCDPSession(page);
    const touch = (type: 'touchStart' | 'touchMove' | 'touchEnd', apart: number) =>
      session.send('Input.dispatchTouchEvent', {
        type,
        touchPoints:
          type === 'touchEnd'
            ? []
            : [
                { x: x - apart, y: y - apart, id: 0 },
                { x: x + apart, y: y + apart, id: 1 },
              ],
      });
    await touch('touchStart', 60);
    await touch('touchMove', 120);
    await touch('touchEnd', 0);
    await expect.poll(() => lookAt(page)).not.toEqual(looks[2]);
    expect(troubles).toEqual([]);
    await page.close();
  });

  test('the page is dark where the reader wants it dark, and light on paper', async () => {
    const { page, troubles } = await openMap({ reader: { colorScheme: 'dark' } });
    const ground = (): Promise<number> =>
      page.evaluate(`((image, map) => {
        const ratio = map.width / map.clientWidth;
        return image.data[4 * (Math.round(13 * ratio) * image.width + Math.round(95 * ratio))];
      })(${PIXELS}, document.querySelector('canvas'))`);
    expect(await ground()).toBeLessThan(64);
    await page.emulateMedia({ colorScheme: 'light' });
    await expect.poll(ground).toBeGreaterThan(192);
    await page.emulateMedia({ colorScheme: 'dark' });
    await expect.poll(ground).toBeLessThan(64);
    await page.emulateMedia({ media: 'print' });
    await expect.poll(ground).toBeGreaterThan(192);
    const paper = await page.pdf({ format: 'A4', landscape: true });
    expect(paper.length).toBeGreaterThan(10_000);
    expect(troubles).toEqual([]);
    await page.close();
  });

  test('lists the layers for those who cannot see the map', async () => {
    const { page, troubles } = await openMap();
    await page.click('#list-title');
    await page.waitForSelector('#list-rows tr');
    expect(await page.locator('#list-rows td:last-child').allTextContents()).toEqual(
      expect.arrayContaining([IMAGE, DELTA, OTHER, L0, FAR]),
    );
    expect(await page.locator('#list-rows tr', { hasText: L0 }).textContent()).toContain(
      'L0 delta, removed since the step before',
    );
    await page.getByRole('button', { name: OTHER }).click();
    expect(await page.textContent('#details')).toContain('block 100 of relation 1663/5/16384');
    expect(troubles).toEqual([]);
  });

  test('the page shows both scales, and the layers at the ends of the key space', async () => {
    const { page, troubles } = await openMap({
      snapshots: [
        namesSnapshot(
          'names',
          [
            layerName(FIRST_KEY, LAST_KEY, { lsn: 0n, end: 2n ** 64n - 1n }),
            IMAGE,
            'branch:0/20',
          ].join('\n'),
        ),
      ],
    });
    const ranks = await lookAt(page);
    await page.selectOption('#key-scale', 'true');
    await page.selectOption('#lsn-scale', 'true');
    expect(await lookAt(page)).not.toEqual(ranks);
    for (const [across, down] of [
      [0, 0],
      [1, 1],
      [0.5, 0.5],
    ] as const) {
      const { x, y } = await placeOf(page, across, down);
      await page.mouse.move(x, y);
      await page.mouse.click(x, y);
    }
    expect(await page.textContent('#details')).toContain('the whole key space');
    expect(troubles).toEqual([]);
  });

  test.each([
    ['no layer', ''],
    ['one layer', IMAGE],
  ])('the map of %s can be used', async (_, names) => {
    const { page, troubles } = await openMap({ snapshots: [namesSnapshot('names', names)] });
    await page.focus('#map');
    for (const key of ['n', '+', 'ArrowLeft', 'r', 'Enter', 'Escape'])
      await page.keyboard.press(key);
    await page.fill('#query', `${A}@0/10`);
    await page.press('#query', 'Enter');
    expect(await page.isVisible('#path-panel')).toBe(true);
    expect(troubles).toEqual([]);
  });

  test('the page runs nothing that a name or a file brings', async () => {
    const attack = '<img src=x onerror=alert(1)></script><script>alert(2)</script>\u2028';
    const hidden = `${IMAGE}-v"'>${attack.replaceAll('/', '|')}\u0007`;
    const { page, troubles } = await openMap({
      title: '<b onclick=alert(3)>',
      snapshots: [namesSnapshot('<b onclick=alert(3)>', [hidden, L0, attack].join('\n'))],
    });
    await page.click('#list-title');
    await page.click('#left-out-title');
    await page.getByRole('button', { name: 'onerror' }).click();
    expect(await page.textContent('#details')).toContain('<img src=x onerror=alert(1)>');
    expect(await page.textContent('#left-out-names')).toContain(
      '<script>alert(2)</script>\\u{2028}',
    );
    expect(await page.textContent('h1')).toBe('<b onclick=alert(3)>');
    expect(await page.locator('img, b').count()).toBe(0);
    expect(await page.locator('script').count()).toBe(3);
    // The policy holds, too: what the page did not bring does not run.
    await page.evaluate(`{
      const script = document.createElement('script');
      script.textContent = 'alert(4)';
      document.body.append(script);
    }`);
    expect(troubles.join('\n')).toMatch(/^error: .*Content Security Policy/);
    expect(troubles).toHaveLength(1);
  });
});
