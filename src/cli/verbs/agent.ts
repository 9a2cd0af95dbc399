/** `ipshard agent`: the host agent takes this process's place. */
import { programVerb } from "../options.ts";
import { agentEnvironment } from "../supervision/agent-command.ts";
import { exec } from "../supervision/exec.ts";

/** The verb. */
export const agent = programVerb("agent", "be a host: lease ports and send requests", (args) =>
  exec("agent", args, agentEnvironment()),
);
