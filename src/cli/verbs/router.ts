/** `ipshard router`: the steering router takes this process's place. */
import { programVerb } from "../options.ts";
import { exec } from "../supervision/exec.ts";

/** The verb. */
export const router = programVerb("router", "steer returning packets to their hosts", (args) =>
  exec("router", args),
);
