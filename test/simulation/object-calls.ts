/** Calls between objects, and by operators: they may be lost, and what they answer waits for the disk. */
import { type EdgeObject, type Instance, type ObjectProgram, reasonOf, UNREACHABLE } from "./edge-object.ts";
import type { Network } from "./network.ts";

const RPC_LIMIT_MS = 10_000;

/** Calls a method of another object. What it answers is known once both turns are on disk. */
export function callObject<Program extends ObjectProgram, Result>(
  caller: Instance<unknown> | null,
  target: EdgeObject<Program>,
  network: Network,
  invoke: (program: Program) => Promise<Result>,
): Promise<Result> {
  const { timeline, chance } = network;
  const { promise, resolve, reject } = Promise.withResolvers<Result>();
  let isSettled = false;
  const settle = (how: () => void): void => {
    if (isSettled || caller?.isOver === true) return;
    isSettled = true;
    if (caller === null) how();
    else caller.object.turnOf(caller as Instance<ObjectProgram>, how);
  };
  const lose = (): void => settle(() => reject(new Error(UNREACHABLE)));
  const from = caller?.object.name ?? "outside";
  const carry = (way: string, back: string, go: () => void): void => {
    if (chance.isLikely(network.weather.lossChance)) timeline.after(network.latencyMs(), lose);
    else timeline.after(network.latencyMs(), () => network.way(way, back).pass(go));
  };
  const send = (): void => {
    timeline.after(RPC_LIMIT_MS, lose);
    carry(from, target.name, () => {
      const instance = target.turn((program) =>
        invoke(program).then(
          (result) =>
            instance?.outbox.push(() => carry(target.name, from, () => settle(() => resolve(result)))),
          (fault: unknown) => {
            target.suspect(reasonOf(fault));
            instance?.outbox.push(() => settle(() => reject(fault)));
          },
        ),
      );
      if (instance === null) lose();
    });
  };
  if (caller === null) send();
  else caller.outbox.push(send);
  return promise;
}
