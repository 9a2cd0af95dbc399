/** What a doctor says of a machine: one sentence for each observation, and an exit status for all. [HS4] */

/** One observation. */
export interface Finding {
  /**
   * `problem`: something is lost or soon will be; `unknown`: it could not be found out; `note`:
   * worth knowing, and may be meant so; `good`: as it should be.
   */
  readonly severity: "good" | "note" | "unknown" | "problem";
  readonly sentence: string;
}

const WORDS = { good: "ok", note: "note", unknown: "unknown", problem: "problem" } as const;

let isForMachines = false;

/** Findings are lines of JSON from now on. */
export function tellMachines(): void {
  isForMachines = true;
}

/** Prints one finding; the process exits with 1 after a problem, with 2 when something stayed unknown. */
export function tell({ severity, sentence }: Finding): void {
  const text = `${WORDS[severity].padEnd("problem".length)} ${sentence}`;
  console.log(isForMachines ? JSON.stringify({ severity, sentence }) : text);
  if (severity === "problem") process.exitCode = 1;
  if (severity === "unknown") process.exitCode ??= 2;
}

export function good(sentence: string): Finding {
  return { severity: "good", sentence };
}

export function note(sentence: string): Finding {
  return { severity: "note", sentence };
}

export function unknown(sentence: string): Finding {
  return { severity: "unknown", sentence };
}

export function problem(sentence: string): Finding {
  return { severity: "problem", sentence };
}
