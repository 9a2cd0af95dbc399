/** What a host logs of its flows, as its command line says, and how its processes share the space. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { optionInvalid } from "../../process/command-options.ts";
import type { FlowLogLevel } from "../../wire/flow-answer.ts";
import { BlockLog, BLOCKS_WRITER } from "./block-log.ts";
import { FlowLog } from "./flow-log.ts";
import { trimOthers } from "./log-files.ts";

/** What is logged, and how much of it is kept. */
export interface FlowLogConfig {
  readonly level: FlowLogLevel;
  /** Whether it says where flows go. */
  readonly destinations: boolean;
  readonly maxBytes: number;
  /** Which decisions about flows are lines of the process's own log. [MT12] */
  readonly decisions: DecisionLevel;
}

/** The options as they are written. */
export interface FlowLogOptionTexts {
  readonly flowLog: string;
  readonly flowLogDestinations?: true;
  readonly flowLogBytes: string;
  readonly logDecisions: string;
}

/** Those that are told. */
export type DecisionLevel = "none" | "refused" | "all";

/** Of the processes of a host. */
export interface FlowLogPlace {
  readonly stateDirectory: string;
  readonly processes: number;
  readonly flowLog: FlowLogConfig;
}

const DIRECTORY = "flow-log";
const LEVELS: readonly FlowLogLevel[] = ["off", "blocks", "flows"];
const DECISION_LEVELS: readonly DecisionLevel[] = ["none", "refused", "all"];
const DEFAULT_LEVEL: FlowLogLevel = "blocks";
const DEFAULT_BYTES = "256M";
const SIZE = /^(\d{1,6})([KMG])$/;
const UNIT_BYTES: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };
const LEAST_BYTES = 2 ** 20;
const MOST_BYTES = 2 ** 40;
/** Blocks are few; and as much for what processes left that are there no more. */
const SHARE_OF_BLOCKS = 1 / 16;

/** Adds the options of the flow log. */
export function withFlowLog(command: Command): Command {
  return command
    .option(
      "--flow-log <level>",
      "what is logged in the state directory of what leaves: off, blocks, or flows",
      DEFAULT_LEVEL,
    )
    .option(
      "--flow-log-destinations",
      "let the log of flows say where each goes (RFC 6888 advises against it)",
    )
    .option("--flow-log-bytes <size>", "how much of the log is kept, such as 256M or 4G", DEFAULT_BYTES)
    .option(
      "--log-decisions <which>",
      "flows that get a line in the log of the process: none, refused, or all",
      "none",
    );
}

/** Reads them. Throws `option-invalid`. */
export function readFlowLog({
  flowLog,
  flowLogDestinations,
  flowLogBytes,
  logDecisions,
}: FlowLogOptionTexts): FlowLogConfig {
  const level = LEVELS.find((known) => known === flowLog);
  if (level === undefined) throw optionInvalid(`--flow-log ${flowLog} is not one of ${LEVELS.join(", ")}.`);
  const destinations = flowLogDestinations === true;
  if (destinations && level !== "flows") {
    throw optionInvalid("--flow-log-destinations needs --flow-log flows: without flows there are none.");
  }
  const match = SIZE.exec(flowLogBytes);
  const maxBytes = match === null ? NaN : Number(match[1]) * UNIT_BYTES[match[2]!]!;
  if (!(maxBytes >= LEAST_BYTES && maxBytes <= MOST_BYTES)) {
    throw optionInvalid(`--flow-log-bytes ${flowLogBytes} is not a size from 1M to 1024G, such as 256M.`);
  }
  const decisions = DECISION_LEVELS.find((known) => known === logDecisions);
  if (decisions === undefined) {
    throw optionInvalid(`--log-decisions ${logDecisions} is not one of ${DECISION_LEVELS.join(", ")}.`);
  }
  return { level, destinations, maxBytes, decisions };
}

/** Where a host has its log. */
export function flowLogDirectory({ stateDirectory }: Pick<FlowLogPlace, "stateDirectory">): string {
  return join(stateDirectory, DIRECTORY);
}

/**
 * The log of blocks, which is the agent's; null where there never was a log. One that is turned off says so
 * in it, so that nobody takes the silence for a day without flows.
 */
export function blockLogOf(place: FlowLogPlace, onFault: (fault: unknown) => void): BlockLog | null {
  const directory = flowLogDirectory(place);
  const { level, destinations, maxBytes } = place.flowLog;
  if (level === "off" && !existsSync(directory)) return null;
  return new BlockLog({ directory, level, destinations, maxBytes: maxBytes * SHARE_OF_BLOCKS, onFault });
}

/** The log of flows of one of its processes; null where none is kept. */
export function flowLogOf(
  place: FlowLogPlace,
  number: number,
  onFault: (fault: unknown) => void,
): FlowLog | null {
  const { level, destinations, maxBytes } = place.flowLog;
  if (level !== "flows") return null;
  const directory = flowLogDirectory(place);
  const share = (1 - 2 * SHARE_OF_BLOCKS) / place.processes;
  return new FlowLog({ directory, process: number, destinations, maxBytes: maxBytes * share, onFault });
}

/** Gives up what processes have left that this host has no more, but for a little. */
export async function trimLeftovers(place: FlowLogPlace): Promise<void> {
  const { flowLog, processes } = place;
  const first = processes === 1 ? 0 : 1;
  const numbers = Array.from({ length: processes }, (_none, at) => String(first + at));
  const writers = new Set([BLOCKS_WRITER, ...numbers]);
  await trimOthers(flowLogDirectory(place), writers, flowLog.maxBytes * SHARE_OF_BLOCKS);
}
