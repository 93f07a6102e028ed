/** Holds asynchronous operations until a test lets them go on. */

export interface Gate {
  readonly opened: Promise<void>;
  open(): void;
}

export function gate(): Gate {
  let open: () => void = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

/** Lets everything run that does not wait for a gate or the disk. */
export async function idle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) {
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

/** Whether the promise is still undecided once everything is idle. */
export async function isPending(promise: Promise<unknown>): Promise<boolean> {
  let decided = false;
  const note = (): void => {
    decided = true;
  };
  promise.then(note, note);
  await idle();
  return !decided;
}

/** So many turns of the queue of microtasks later. */
export async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await undefined;
}
