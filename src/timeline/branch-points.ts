/** Where the children of a timeline branch off: reads of them reach its layers there. */
import type { Lsn } from '../layers/lsn.ts';
import { inOrder } from './in-order.ts';
import { surveyedIndex, type TimelineSurvey } from './survey.ts';
import { findTimelines, type TimelineLocation } from './timeline-layout.ts';

/** Maximum number of indices that are read concurrently. */
const PARALLEL = 8;

/**
 * The LSNs at which the children in the source branch off. A child whose index is damaged is left out. Throws as the
 * store.
 */
export async function branchPoints(survey: TimelineSurvey, signal?: AbortSignal): Promise<Lsn[]> {
  const { store, directory, location, isListed } = survey;
  const { tenantId, shard, timelineId, prefix } = location;
  if (!isListed || tenantId === undefined || timelineId === undefined) return [];
  const root = prefix.slice(0, prefix.lastIndexOf('tenants/'));
  const siblings: TimelineLocation[] = [];
  for await (const found of findTimelines(store, root, { tenant: tenantId, signal })) {
    if (found.shard === shard && found.timelineId !== timelineId) siblings.push(found);
  }
  const points: Lsn[] = [];
  const read = (child: TimelineLocation) =>
    surveyedIndex({ store, directory, location: child, signal });
  for await (const index of inOrder(siblings, PARALLEL, read)) {
    const { ancestorTimeline, ancestorLsn } = index?.content.fields.metadata ?? {};
    if (ancestorTimeline === timelineId && ancestorLsn !== undefined) points.push(ancestorLsn);
  }
  return points;
}
