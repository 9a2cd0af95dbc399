/** Turns faults into messages for the person who gave the command. */
import { EdgeAnswerUnreadable, EdgeRefusal, EdgeUnreachable } from "../../api/errors.ts";
import { PLAIN_HTTP_REFUSED } from "../../core/plain-http.ts";
import { ALLOW_PLAIN_HTTP, plainHttpRefused } from "../../process/plain-http-option.ts";
import { CommandFault } from "../../process/command-fault.ts";
import { EgressError } from "../../sdk/egress.ts";
import { diskFault } from "../../process/disk-faults.ts";

const FILE_FAULTS: ReadonlySet<string> = new Set([
  "EACCES",
  "EEXIST",
  "EISDIR",
  "ENOENT",
  "ENOTDIR",
  "EPERM",
]);

/** A fault of a file or of the edge as a fault of the command; any other stays what it is. */
export function commandFault(fault: unknown): unknown {
  if (fault instanceof EdgeRefusal) return new CommandFault("edge-refused", fault.message, fault);
  if (fault instanceof EgressError) return new CommandFault("edge-refused", fault.message, fault);
  if (fault instanceof EdgeUnreachable || fault instanceof EdgeAnswerUnreadable) {
    return new CommandFault("edge-not-answering", fault.message, fault);
  }
  const { code, path, message } = fault as NodeJS.ErrnoException;
  // The client of the API says what its callers are to write, who are programs.
  if (code === PLAIN_HTTP_REFUSED)
    return plainHttpRefused(message.replace("allowPlainHttp", ALLOW_PLAIN_HTTP));
  const disk = diskFault(fault);
  if (disk === null && (code === undefined || path === undefined || !FILE_FAULTS.has(code))) return fault;
  return new CommandFault("state-unusable", `The state directory cannot be used: ${disk ?? message}`, fault);
}
