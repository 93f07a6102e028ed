/** Every scenario, by the name under which a failure is replayed. */
import type { MakeScenario } from '../scenario.ts';
import { deltaLayer, deltaWithLargeIndex, ephemeralLayer, imageLayer, imported } from './layers.ts';
import { deltaWithManifest, manifestAlone, mended } from './manifest.ts';
import { redacted } from './redact.ts';
import { salvaged } from './salvage.ts';
import { sideBySide, twoPaths } from './side-by-side.ts';
import { removalBesideWriter, twoProcesses } from './two-processes.ts';
import {
  document,
  leftovers,
  overwriteExisting,
  overwriteNew,
  overwriteStale,
  tenantConfig,
  timelineMetadata,
} from './write-once.ts';

export const SCENARIOS: ReadonlyMap<string, MakeScenario> = new Map([
  ['overwrite-new', overwriteNew],
  ['overwrite-existing', overwriteExisting],
  ['overwrite-stale', overwriteStale],
  ['timeline-metadata', timelineMetadata],
  ['tenant-config', tenantConfig],
  ['document', document],
  ['delta', deltaLayer],
  ['delta-with-large-index', deltaWithLargeIndex],
  ['delta-with-manifest', deltaWithManifest],
  ['manifest', manifestAlone],
  ['mended', mended],
  ['image', imageLayer],
  ['ephemeral', ephemeralLayer],
  ['import', imported],
  ['salvage', salvaged],
  ['redact', redacted],
  ['leftovers', leftovers],
  ['side-by-side', sideBySide],
  ['two-paths', twoPaths],
  ['two-processes', twoProcesses],
  ['removal-beside-writer', removalBesideWriter],
]);
