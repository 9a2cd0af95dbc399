/** Runs the edge on this machine until it is told to end. */
import { refuseIfTaken } from "../supervision/addresses.ts";
import { watchDisk } from "./disk-watch.ts";
import { EDGE_NAME, type EdgeOptions, prepareEdge, untilEdgeAnswers } from "./edge-process.ts";
import { aborted, listenForEnding } from "../supervision/end-signals.ts";
import { findLaunchers } from "../../process/launched-by.ts";
import { ensureKeys } from "../credentials/key-files.ts";
import { RunRecords } from "../supervision/run-records.ts";
import type { StatePaths } from "../state-paths.ts";
import { Supervisor } from "../supervision/supervisor.ts";

/** Runs the edge; resolves when it was told to end and has ended. */
export async function runEdge(state: StatePaths, options: EdgeOptions): Promise<void> {
  const { host, port, tls } = options;
  const launchers = findLaunchers();
  const ending = listenForEnding(launchers);
  const records = new RunRecords(state.run, launchers);
  await records.takeOver([EDGE_NAME]);
  await refuseIfTaken([{ host, port, purpose: "the edge" }], "Choose another with --port.");
  const spec = await prepareEdge(state, await ensureKeys(state), options);
  const supervisor = new Supervisor(records, (line) => console.error(line));
  ending.urged.addEventListener("abort", () => supervisor.killAll());
  try {
    await supervisor.start(spec);
    const scheme = (tls?.certificate ?? null) === null ? "http" : "https";
    const url = `${scheme}://${host}:${port}`;
    await Promise.race([untilEdgeAnswers(url, spec.logFile, ending.asked), supervisor.failed]);
    if (!ending.asked.aborted) console.log(`edge: ${url} (log: ${spec.logFile})`);
    watchDisk(state.edgeStorage, (sentence) => console.error(sentence), ending.asked);
    await Promise.race([aborted(ending.asked), supervisor.failed]);
  } finally {
    await supervisor.stop([EDGE_NAME]);
  }
}
