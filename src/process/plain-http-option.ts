/** `--allow-plain-http`, as every program of ours has it: without it no token leaves this machine in plain text. [TR4] */
import type { Command } from "commander";
import { isPlainElsewhere, PLAIN_HTTP_REFUSED, plainHttpSentence } from "../core/plain-http.ts";
import { CommandFault } from "./command-fault.ts";

/** What it is called. */
export const ALLOW_PLAIN_HTTP = "--allow-plain-http";

/** What it is called once it has been read. */
export interface PlainHttpOption {
  readonly allowPlainHttp: boolean;
}

/** The command with this option. */
export function withPlainHttp(command: Command): Command {
  return command.option(
    ALLOW_PLAIN_HTTP,
    "let tokens travel over plain HTTP beyond this machine: for a network that is yours alone",
    false,
  );
}

/** The same URL, if a token may go there; else throws `plain-http-refused`. */
export function securely(option: string, url: URL, { allowPlainHttp }: PlainHttpOption): URL {
  if (allowPlainHttp || !isPlainElsewhere(url)) return url;
  throw plainHttpRefused(plainHttpSentence(`${option} ${url.href}`, ALLOW_PLAIN_HTTP));
}

/** The refusal, for `throw`. */
export function plainHttpRefused(message: string): CommandFault {
  return new CommandFault(PLAIN_HTTP_REFUSED, message);
}
