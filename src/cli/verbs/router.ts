/** `ipshard router`: the steering router takes this process's place; `ipshard router add NAME` brings one in. */
import { addCommand } from "../credentials/join-command.ts";
import { programVerb } from "../options.ts";
import { exec } from "../supervision/exec.ts";

/** The verb. */
export const router = programVerb(
  "router",
  "steer returning packets to their hosts; `router add NAME` brings one in",
  async (args) => {
    if (args[0] !== "add") exec("router", args);
    await addCommand("router").name("ipshard router add").parseAsync(args.slice(1), { from: "user" });
  },
);
