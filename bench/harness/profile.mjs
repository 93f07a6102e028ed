/** CPU profiles of the timed part only. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { dirname } from 'node:path';

const INTERVAL_US = 200;

/** Runs the action under a profiler, and writes the profile to the path. Returns: its result. */
export async function profiled(path, action) {
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: INTERVAL_US });
  await session.post('Profiler.start');
  const result = await action();
  const { profile } = await session.post('Profiler.stop');
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, JSON.stringify(profile));
  session.disconnect();
  return result;
}
