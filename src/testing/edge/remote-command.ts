/** How the stand-in is told from another process or isolate: JSON to a path that no edge has. [TE3] */
import { isFromPage } from "../../worker/egress/cross-origin.ts";
import { problem } from "../../worker/runtime/problem.ts";
import { readCommand, type Script } from "./script.ts";

/** The path, at the stand-in's URL. */
export const COMMAND_PATH = "/stand-in";
/** Through a service binding, where every other URL is a destination. */
export const COMMAND_URL = `http://egress-stand-in.invalid${COMMAND_PATH}`;

/** Does what a request tells the stand-in itself; null for any that is for a destination. */
export function commandResponse(
  request: Request,
  url: URL,
  script: Script,
  isBound: boolean,
): Promise<Response> | null {
  // A test tells it. A page that is open in some browser of this machine can send to its port, too.
  const isMeant = isBound
    ? request.url === COMMAND_URL
    : url.pathname === COMMAND_PATH && !isFromPage(request);
  return isMeant && request.method === "POST" ? obey(request, script) : null;
}

async function obey(request: Request, script: Script): Promise<Response> {
  const value: unknown = await request.json().catch(() => null);
  const command = readCommand(value);
  return command.ok ? Response.json(script.command(command.value)) : problem(command.refusal);
}
