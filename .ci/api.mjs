/**
 * Writes the API reports in `etc`, one for each entry of the package: what can be imported, with its
 * signatures, without what is internal. A change of the surface is a change of a report, for all to see.
 *
 *   npm run api              writes the reports
 *   npm run api -- --check   fails where a report is not what the sources give
 *
 * Also fails for a type that a signature names but the same entry does not export.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Extractor, ExtractorConfig } from '@microsoft/api-extractor';
import { ENTRIES } from './entries.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const CHECK = process.argv.includes('--check');

/** Inside the project, so that the declarations find the types of Node. */
const work = mkdtempSync(join(ROOT, '.api-'));
try {
  // The declarations of each file, not the bundled ones: their chunks change their names with their content.
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  const flags = '--noEmit false --emitDeclarationOnly --declaration --stripInternal --rootDir src';
  execFileSync(
    process.execPath,
    [tsc, '-p', join(ROOT, '.ci/tsconfig.api.json'), ...flags.split(' '), '--outDir', work],
    { cwd: ROOT, stdio: 'inherit' },
  );
  const failed = Object.entries(ENTRIES).filter(([name, file]) => !report(name, file));
  if (failed.length > 0) {
    console.error(`API reports that fail: ${failed.map(([name]) => name).join(', ')}`);
    if (CHECK) console.error('`npm run api` writes them anew; commit what changes.');
    process.exitCode = 1;
  }
} finally {
  rmSync(work, { recursive: true });
}

/** True if the report is written, or up to date, and nothing is missing. */
function report(name, file) {
  const reportFolder = join(ROOT, 'etc');
  const config = ExtractorConfig.prepare({
    configObject: {
      projectFolder: ROOT,
      mainEntryPointFilePath: join(work, `${file}.d.ts`),
      compiler: { tsconfigFilePath: join(ROOT, '.ci/tsconfig.api.json') },
      apiReport: {
        enabled: true,
        reportFileName: `${name}.api.md`,
        reportFolder,
        reportTempFolder: join(work, 'reports'),
      },
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
      newlineKind: 'lf',
      messages: {
        compilerMessageReporting: { default: { logLevel: 'error' } },
        extractorMessageReporting: {
          default: { logLevel: 'error' },
          // A release has one kind of export.
          'ae-missing-release-tag': { logLevel: 'none' },
          'ae-undocumented': { logLevel: 'none' },
        },
        tsdocMessageReporting: { default: { logLevel: 'none' } },
      },
    },
    configObjectFullPath: join(ROOT, '.ci/api.mjs'),
    packageJsonFullPath: join(ROOT, 'package.json'),
  });
  const result = Extractor.invoke(config, {
    localBuild: !CHECK,
    messageCallback: (message) => {
      message.handled = true;
      if (message.logLevel === 'error') {
        console.error(`${name}: ${message.messageId}: ${message.text}`);
      }
    },
  });
  return result.errorCount === 0 && !(CHECK && result.apiReportChanged);
}
