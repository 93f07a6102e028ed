/**
 * Lists the layers of a bucket, one URL a line, for `layerfile check --files-from -`.
 *
 *   node list-layers.mjs BUCKET [PREFIX] > names
 *
 * The bucket is addressed as AWS's own tools do: AWS_REGION, AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID and so on.
 * Exit status: 0, or 3 if the bucket cannot be listed.
 */
import { once } from 'node:events';
import { isCommonPrefix, s3Store } from 'layerfile/object-store';

const LAYER_NAME = /^[0-9A-F]{36}-[0-9A-F]{36}__[0-9A-F]{16}/i;

async function listLayers(bucket, prefix) {
  for await (const item of s3Store({ bucket }).list(prefix)) {
    if (isCommonPrefix(item) || !LAYER_NAME.test(item.key.slice(item.key.lastIndexOf('/') + 1))) {
      continue;
    }
    if (!process.stdout.write(`s3://${bucket}/${item.key}\n`)) await once(process.stdout, 'drain');
  }
}

const [bucket, prefix = ''] = process.argv.slice(2);
try {
  await listLayers(bucket, prefix);
} catch (error) {
  console.error(`list-layers: ${error.message}`);
  process.exitCode = 3;
}
