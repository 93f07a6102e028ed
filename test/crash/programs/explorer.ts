/** A thread that explores the runs which it is sent, one after the other. */
import { parentPort } from 'node:worker_threads';
import { exploreRun, type Task } from '../crash-exploration.ts';
import { SCENARIOS } from '../scenarios/all.ts';

// What is thrown ends the thread, and is an `error` of the other side.
parentPort?.on('message', async (task: Task) => {
  parentPort?.postMessage(await exploreRun(task, SCENARIOS));
});
