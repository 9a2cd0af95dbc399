/** `ipshard host add NAME`: makes a machine a host by one command. */
import { addCommand } from "../credentials/join-command.ts";
import { newVerb } from "../options.ts";
import { print } from "../output/print.ts";

/** The verb. */
export const host = newVerb("host", "bring a machine in as a host").addCommand(addCommand("host", print));
