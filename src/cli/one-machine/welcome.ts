/** What a person reads once everything runs: what there is, and four commands that work. */
import { FETCH_PATH } from "../../wire/header-names.ts";

/** What there is. */
export interface Welcome {
  readonly edgeUrl: string;
  /** Signs in to the edge's page, once. */
  readonly dashboard: string;
  readonly originUrl: string;
  /** Where a host's proxy listens. */
  readonly proxy: string;
  readonly ip: string;
  readonly hosts: readonly string[];
  /** Absolute paths. */
  readonly tokenFiles: { readonly client: string; readonly admin: string };
}

/** Four commands for any POSIX shell, in any directory. */
export function commandsToTry({ edgeUrl, originUrl, proxy, ip, tokenFiles }: Welcome): string[] {
  const fetchUrl = (path: string): string => `'${edgeUrl}${FETCH_PATH}?url=${originUrl}${path}'`;
  const client = `-H "egress-authorization: Bearer $(cat ${quote(tokenFiles.client)})"`;
  const admin = `-H "authorization: Bearer $(cat ${quote(tokenFiles.admin)})"`;
  return [
    `curl -i ${client} ${fetchUrl("/hello")}`,
    `curl -i ${client} -H 'egress: session=cart-42' -d 'some=body' ${fetchUrl("/cart")}`,
    `curl -s ${admin} ${edgeUrl}/v1/ips/${ip}`,
    `curl -i -x http://${proxy} ${originUrl}/proxied`,
  ];
}

/** The command that prints a further link, in any directory. */
export function anotherLink({ edgeUrl, tokenFiles }: Welcome): string {
  return `npx ipshard dashboard --edge ${edgeUrl} --token-file ${quote(tokenFiles.admin)}`;
}

/** The whole text. */
export function welcome(what: Welcome): string {
  const [get, post, table, proxied] = commandsToTry(what);
  return `
ipshard runs. Hosts ${what.hosts.join(" and ")} share the address ${what.ip}, each on its own ports.
Edge: ${what.edgeUrl}   Sample origin: ${what.originUrl} (answers with the address and port it saw)
Loopback destinations are allowed here, for the sample origin's sake; by default hosts refuse them.

See it live (the link signs in once, within 5 minutes; for another one run: ${anotherLink(what)}):
   ${what.dashboard}

Try, in another terminal:

1. A request that leaves from the shared address:
   ${get}

2. A POST whose session keeps its address:
   ${post}

3. Which host holds which ports:
   ${table}

4. The same address for a program that speaks proxy (HTTP, CONNECT and SOCKS5 on one port):
   ${proxied}

Ctrl-C ends it all.`;
}

/** A word of the shell inside double quotes and `$(…)`, which begin a quoting of their own. */
function quote(path: string): string {
  return `'${path.replaceAll("'", "'\\''")}'`;
}
