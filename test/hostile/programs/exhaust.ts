/** Does one part of an exhaustive run; prints what came out as one line of JSON. */
import { exhaust, type Part } from '../exhaustion.ts';

// What is thrown is done again where its place is wanted.
Error.stackTraceLimit = 0;

const part: Part = JSON.parse(process.argv[2] ?? '{}');
process.stdout.write(`${JSON.stringify({ part, ...(await exhaust(part)) })}\n`);
