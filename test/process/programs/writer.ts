/**
 * A process that writes until it dies. What it acknowledges goes to standard output in a system
 * call of its own, so that it is out when the process is killed right after it.
 */
import { writeSync } from 'node:fs';
import { type WriterInput, type WriterMessage, write } from '../writing.ts';

export interface ProcessInput extends WriterInput {
  /** How the process ends by itself; `none`: somebody kills it. */
  readonly end: 'none' | 'exit' | 'throw' | 'abort';
  /** So long after N messages. */
  readonly endAfterMessages: number;
  readonly endAfterMs: number;
}

const [, , text = ''] = process.argv;
const input: ProcessInput = JSON.parse(text);
let messageCount = 0;

function tell(message: WriterMessage): void {
  writeSync(1, `${JSON.stringify(message)}\n`);
  messageCount += 1;
  if (messageCount === input.endAfterMessages) setTimeout(end, input.endAfterMs);
}

function end(): void {
  if (input.end === 'exit') process.exit();
  if (input.end === 'abort') process.abort();
  if (input.end === 'throw') throw new Error('the end of the program');
}

await write(input, tell);
