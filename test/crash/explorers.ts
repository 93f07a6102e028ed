/** Who explores runs: this thread, or several others beside each other. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { bundledProgram } from '../support/programs.ts';
import { type Explored, exploreRun, type Task } from './crash-exploration.ts';
import { SCENARIOS } from './scenarios/all.ts';

/** Explores one run at a time. */
export interface Explorer {
  explore(task: Task): Promise<Explored>;
  end(): Promise<unknown>;
}

export async function startExplorers(count: number): Promise<Explorer[]> {
  if (count === 1) return [IN_THIS_THREAD];
  const program = await bundledProgram(new URL('programs/explorer.ts', import.meta.url));
  return Array.from({ length: count }, () => inThread(program));
}

const IN_THIS_THREAD: Explorer = {
  explore: (task) => exploreRun(task, SCENARIOS),
  end: async () => {},
};

function inThread(program: string): Explorer {
  const worker = new Worker(program);
  return {
    async explore(task) {
      worker.postMessage(task);
      const messages = await once(worker, 'message');
      return messages[0];
    },
    end: () => worker.terminate(),
  };
}
