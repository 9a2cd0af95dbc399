/** The reference of error codes: those of clients, of commands, of the connection to the edge, and of the SDK. */
import { CATALOGUE, type ProblemKind } from "../../src/core/problem-catalogue.ts";
import { isHostRefusal } from "../../src/core/problems.ts";
import { adviceOn } from "../../src/link/edge-refusals.ts";
import { COMMAND_FAULTS } from "../../src/process/command-fault.ts";
import { SDK_CODES } from "../../src/sdk/egress-error.ts";
import { LINK_REFUSALS } from "../../src/wire/message-parsers.ts";
import { code, document, table } from "./markdown.ts";

const INTRODUCTION = `A code never changes its meaning. Sentences beside it are for people and may change.

Where each is seen:

- **Clients** get the first table: as \`code\` of a problem document (RFC 9457), and in \`proxy-status\` with the error
  type of RFC 9209. A proxy says it by its status, a SOCKS5 client sees the reply of the last column.
- **Commands** (\`npx ipshard …\`) end with 1 and write \`message [code]\` to standard error.
- **Agents and routers** log the third table when the edge does not take what they say.
- **Programs with the SDK** get an \`EgressError\` with a code of the first table, or one of the last.`;

function clientRow([name, kind]: readonly [string, ProblemKind]): readonly string[] {
  const { status, proxyError, socksReply, title } = kind;
  const isElsewhere = isHostRefusal(name) ? " Another host is asked first, while nothing was sent." : "";
  return [code(name), String(status), title + isElsewhere, proxyError ?? "–", String(socksReply)];
}

/** The whole of it. */
export function errorReference(): string {
  const client = Object.entries<ProblemKind>(CATALOGUE).map(clientRow);
  const rows = (codes: Readonly<Record<string, string>>): string[][] =>
    Object.entries(codes).map(([name, meaning]) => [code(name), meaning]);
  return document("Error codes", INTRODUCTION, [
    "## What clients get",
    table(["code", "status", "means", "RFC 9209", "SOCKS5"], client),
    "## What commands say",
    table(["code", "means"], rows(COMMAND_FAULTS)),
    "## What the edge says to agents and routers",
    "Besides these, the edge refuses their connection with codes of the first table, such as `token-expired`.",
    table(["code", "means"], rows(Object.fromEntries(LINK_REFUSALS.map((name) => [name, adviceOn(name)])))),
    "## What only the SDK says",
    table(["code", "means"], rows(SDK_CODES)),
  ]);
}
