/** How a test tells a stand-in what to answer, wherever that runs. [TE3] */
import { COMMAND_PATH, COMMAND_URL } from "./remote-command.ts";
import type { Command, StandInCall } from "./script.ts";
import type { StandInAnswer } from "./stand-in-answer.ts";

export { type StandInAnswer, TROUBLE } from "./stand-in-answer.ts";

/** What a test says and asks. */
export interface EgressControl {
  /** What the next requests get, one each, before all that holds for their destinations. */
  next(...answers: readonly StandInAnswer[]): Promise<void>;
  /** What a destination answers from now on: by its URL, or by the beginning of URLs and `*`. */
  answer(to: string, answer: StandInAnswer): Promise<void>;
  /** The requests since the beginning, or since `reset`. */
  calls(): Promise<readonly StandInCall[]>;
  /** Forgets what was said and asked; what it began with holds again. */
  reset(): Promise<void>;
}

/** A service binding, as far as it is needed. */
export interface BoundStandIn {
  fetch(url: string, init: RequestInit): Promise<Response>;
}

/** Controls a stand-in by its URL, or through a service binding to it. */
export function egressControl(at: string | URL | BoundStandIn): EgressControl {
  const isUrl = typeof at === "string" || at instanceof URL;
  const url = isUrl ? `${String(at).replace(/\/+$/, "")}${COMMAND_PATH}` : COMMAND_URL;
  return controlBy(async (command) => {
    const init = { method: "POST", body: JSON.stringify(command) };
    const response = await (isUrl ? fetch(url, init) : at.fetch(url, init));
    const said = (await response.json().catch(() => null)) as unknown;
    if (!response.ok || !Array.isArray(said)) throw new TypeError(complaintOf(said));
    return said as StandInCall[];
  });
}

/** Controls it by whatever brings a command there. */
export function controlBy(tell: (command: Command) => Promise<readonly StandInCall[]>): EgressControl {
  return {
    next: async (...answers) => void (await tell({ do: "next", answers })),
    answer: async (to, answer) => void (await tell({ do: "answer", to, answer })),
    calls: () => tell({ do: "calls" }),
    reset: async () => void (await tell({ do: "reset" })),
  };
}

function complaintOf(said: unknown): string {
  const { detail } = (said ?? {}) as { readonly detail?: unknown };
  return typeof detail === "string" ? detail : "There is no stand-in of ipshard's.";
}
