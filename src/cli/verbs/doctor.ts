/** `ipshard doctor`: the doctor of hosts, or as `ipshard doctor router` that of routers, takes this process's place. */
import { programVerb } from "../options.ts";
import { exec } from "../supervision/exec.ts";

/** The verb. */
export const doctor = programVerb(
  "doctor",
  "say what is wrong with this host, or with `doctor router` this router",
  (args) => (args[0] === "router" ? exec("router-doctor", args.slice(1)) : exec("doctor", args)),
);
