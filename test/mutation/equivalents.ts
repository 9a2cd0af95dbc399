/**
 * Changes of the sources that nobody can notice, each with the reason. They are known by the text of
 * their line, so that they need no care when lines move; one whose line is gone is reported.
 */

/** A change that makes no difference. */
export interface Equivalent {
  /** End of the file's path. */
  readonly file: string;
  /** The line on which the change begins, without the space around it. */
  readonly line: string;
  /** What stands there instead; without it any change that begins on this line. */
  readonly replacement?: string;
  readonly why: string;
}

export const EQUIVALENTS: readonly Equivalent[] = [
  {
    file: "src/agent/egress/port-applier.ts",
    line: "if (command.number > this.#number) this.#apply(command);",
    replacement: "command.number >= this.#number",
    why: "A command that is applied twice changes nothing.",
  },
  {
    file: "src/agent/egress/port-applier.ts",
    line: "else if (ports.growthOutstanding) ports.endGrowth();",
    replacement: "true",
    why: "Where nothing is outstanding nobody waits.",
  },
  {
    file: "durable-objects/pool/address-orders.ts",
    line: "if (answer.ok) status = answer.value;",
    replacement: "true",
    why: "An order to leave is never refused.",
  },
  {
    file: "durable-objects/steering/steering-feed.ts",
    line: "if (change.put.length === 0) return change;",
    replacement: "false",
    why: "It only saves the work of placing nothing.",
  },
  {
    file: "src/worker/egress/destination.ts",
    line: 'return url === null ? "" : `${url.hostname}:${url.port || url.protocol}`;',
    replacement: '"Stryker was here!"',
    why: "It only has to be another than all hosts and ports.",
  },
  {
    file: "src/worker/egress/request-body.ts",
    line: "this.keep();",
    replacement: ";",
    why: "Whoever repeats a request has had its body kept already.",
  },
  {
    file: "src/worker/hosts/long-waits.ts",
    line: "if (count?.waiting !== waiting) return;",
    replacement: "false",
    why: "Whoever ends as the last of its kind is always of the count that runs.",
  },
  {
    file: "src/worker/hosts/long-waits.ts",
    line: "if (count?.waiting !== waiting) return;",
    replacement: "count.waiting",
    why: "While anybody waits there is a count.",
  },
];
