import { CommandFault } from "../../link/command-fault.ts";
import { diskFault } from "../../link/disk-faults.ts";

const FILE_FAULTS: ReadonlySet<string> = new Set([
  "EACCES",
  "EEXIST",
  "EISDIR",
  "ENOENT",
  "ENOTDIR",
  "EPERM",
]);

/** What a fault of a file is to the person who gave the command: `state-unusable`. Any other stays what it is. */
export function fileFault(fault: unknown): unknown {
  const { code, path, message } = fault as NodeJS.ErrnoException;
  const disk = diskFault(fault);
  if (disk === null && (code === undefined || path === undefined || !FILE_FAULTS.has(code))) return fault;
  return new CommandFault("state-unusable", `The state directory cannot be used: ${disk ?? message}`, fault);
}
