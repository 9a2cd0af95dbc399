/** A process that takes a state directory, says so, and keeps it until it is ended. */
import { StateDirectory } from "../../src/link/state-directory.ts";

try {
  const state = await StateDirectory.open(process.argv[2]!, (fault) => {
    throw fault;
  });
  state.noteEpoch("127.0.0.10", Number(process.argv[3]));
  console.log(`holding ${state.instance}`);
  setInterval(() => {}, 1_000_000);
} catch (fault) {
  console.log(`refused ${(fault as { code?: string }).code}`);
}
