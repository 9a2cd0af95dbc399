/**
 * The program that runs the edge on a machine. It is as large as all else together and needed by one
 * verb, so who installs the package installs it beside it, or does without. [PK5]
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { CommandFault } from "../../process/command-fault.ts";

/** The path of workerd, if it knows this compatibility date; throws `workerd-unusable`. */
export function workerdProgram(compatibilityDate: string, from = createRequire(import.meta.url)): string {
  let program: string;
  let version: string;
  try {
    version = versionOf(readFileSync(from.resolve("workerd/package.json"), "utf8"));
    program = (from("workerd") as { default: string }).default;
  } catch (cause) {
    throw unusable("is not installed", compatibilityDate, cause);
  }
  // Its version is the day up to which it knows what changed: 1.20261102.1.
  const knownUntil = version.split(".")[1] ?? "";
  if (knownUntil < compatibilityDate.replaceAll("-", "")) {
    throw unusable(`is too old: it is ${version}`, compatibilityDate);
  }
  return program;
}

function versionOf(manifest: string): string {
  return (JSON.parse(manifest) as { version: string }).version;
}

function unusable(why: string, compatibilityDate: string, cause?: unknown): CommandFault {
  return new CommandFault(
    "workerd-unusable",
    `The edge on this machine runs on workerd, which ${why}. Install one from ${compatibilityDate} or later beside ipshard: npm install workerd`,
    cause,
  );
}
