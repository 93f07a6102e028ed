import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { directoryStore } from '../../src/object-store/directory-store.ts';
import { type CheckedLayer, TimelineCheck } from '../../src/timeline/check.ts';
import { surveyTimeline, type TimelineSurvey } from '../../src/timeline/survey.ts';
import { unpackTimelines } from '../support/golden-timelines.ts';
import { SK15_TIMELINE } from '../support/ingested-timelines.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

async function surveyed(): Promise<TimelineSurvey> {
  const directory = temporaryDirectory();
  await unpackTimelines('sk15', directory);
  const prefix = `${SK15_TIMELINE}/`;
  const location = { tenantId: undefined, shard: undefined, timelineId: undefined, prefix };
  return surveyTimeline({ store: directoryStore(directory), directory, location });
}

/** Checks the timeline after something was done to the file of its first layer. */
async function checkedAfter(change: (path: string) => void) {
  const survey = await surveyed();
  const key = survey.layers[0]?.key ?? '';
  change(join(survey.directory ?? '', key));
  const check = new TimelineCheck(survey, undefined, { depth: 'summary', parallel: 1 });
  const layers: CheckedLayer[] = [];
  for await (const layer of check.layers()) layers.push(layer);
  const [changed, ...others] = layers.sort((left) => (key.includes(left.name) ? -1 : 1));
  expect(others.filter(({ ok }) => !ok)).toEqual([]);
  return { changed, summary: check.summary() };
}

describe('a layer that changes between the listing and its check', () => {
  test('a layer that vanishes is missing, which is not a failure to look', async () => {
    const { changed, summary } = await checkedAfter((path) => rmSync(path));
    expect(changed).toMatchObject({ state: 'missing', ok: false, isFailed: false });
    expect(changed?.findings).toMatchObject([{ code: 'not-found' }]);
    expect(summary).toMatchObject({ ok: false, errors: 1, unknown: 0 });
  });

  test('a layer that becomes shorter is damaged', async () => {
    const { changed, summary } = await checkedAfter((path) => writeFileSync(path, 'short'));
    expect(changed).toMatchObject({ ok: false, isFailed: false });
    expect(summary.ok).toBe(false);
  });
});
