/** `ipshard fetch URL`: one request from an address of a pool, as curl makes one from this machine's. [OV7] */
import { createReadStream, createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { EdgeUnreachable } from "../../api/errors.ts";
import type { Selection } from "../../core/selection.ts";
import { CommandFault } from "../../process/command-fault.ts";
import { collect, optionInvalid, withExamples } from "../../process/command-options.ts";
import { ALLOW_PLAIN_HTTP } from "../../process/plain-http-option.ts";
import { printableJson } from "../../process/printable.ts";
import { bytesUpTo } from "../../process/small-file.ts";
import { createEgress, EgressError, egressOf } from "../../sdk/egress.ts";
import { type ClientWords, clientTokenFor } from "../credentials/client.ts";
import { newVerb, stateOption } from "../options.ts";
import { jsonOption } from "../output/answer.ts";
import { printable } from "../output/terminal-text.ts";
import { print } from "../output/print.ts";

/** It is all in memory, so that it can be sent again to another host. */
const MOST_BODY_BYTES = 256 * 1024 * 1024;

interface Words extends ClientWords, Omit<Selection, "pool" | "ttl"> {
  readonly ttl?: string;
  readonly request?: string;
  readonly header: readonly string[];
  readonly data?: string;
  readonly include?: true;
  readonly location?: true;
  readonly fail?: true;
  readonly output?: string;
  readonly verbose?: true;
  readonly json?: true;
}

const FIRST_ERROR_STATUS = 400;

/** The verb. */
export const fetch = withExamples(
  newVerb("fetch", "make one request from an address of a pool, as curl does from this machine's")
    .argument("<url>", "where to")
    .option("-X, --request <method>", "the method (default: GET, with --data POST)")
    .option("-H, --header <line>", "a header, as in 'accept: text/html'; may be repeated", collect, [])
    .option("-d, --data <text>", "a body; @file for a file's content, @- for standard input")
    .option("-i, --include", "print status and headers, too")
    .option("-L, --location", "follow redirects")
    .option("-f, --fail", "end with 1 when the answer's status is 400 or higher")
    .option("-o, --output <file>", "write the body into this file")
    .option("-v, --verbose", "say on standard error from which address, port and host it left")
    .option("--pool <name>", "the pool it leaves from")
    .option("--ip <address>", "the address it leaves from")
    .option("--country <code>", "the country of the address, as in de")
    .option("--site <name>", "where the address is announced")
    .option("--session <word>", "requests of one session keep one address")
    .option("--sticky <mode>", "strict: refuse rather than move a session to another address")
    .option("--ttl <seconds>", "for how long a session is to keep its address")
    .option(
      "--edge <url>",
      "where the edge is, or a gateway (default: that of the context, or this machine's)",
    )
    .option(
      "--token-file <file>",
      "a token of the role client, - for standard input (default: that of the context, else one made with the issuer's key)",
    )
    .option("--context <name>", "a context of `ipshard login` instead of the current one")
    .option(ALLOW_PLAIN_HTTP, "let the token travel over plain HTTP beyond this machine")
    .addOption(stateOption())
    .addOption(jsonOption())
    .action(async (url: string, words: Words) => {
      const { edge, token, allowPlainHttp, pool } = await clientTokenFor(words);
      const selection = selectionOf(words, pool);
      const reach = (to: string, init: RequestInit): Promise<Response> =>
        globalThis.fetch(to, init).catch((fault: unknown) => {
          throw new EdgeUnreachable(edge.href, fault);
        });
      const egress = asOption(() =>
        createEgress({ endpoint: edge, token, allowPlainHttp, fetch: reach, ...selection }),
      );
      const body = words.data === undefined ? undefined : await readBody(words.data);
      const sent = egress.fetch(url, {
        method: words.request ?? (body === undefined ? "GET" : "POST"),
        headers: headersOf(words.header),
        redirect: words.location === true ? "follow" : "manual",
        ...(body === undefined ? {} : { body }),
      });
      const response = await sent.catch((fault: unknown) => {
        // A URL or a method that nobody can make sense of; a refusal of ours has a class of its own.
        throw fault instanceof TypeError && !(fault instanceof EgressError)
          ? optionInvalid(`${fault.message}.`)
          : fault;
      });
      await show(response, words);
      if (words.fail === true && response.status >= FIRST_ERROR_STATUS) process.exitCode = 1;
    }),
  [
    "fetch https://api.example.com/ --pool eu",
    "fetch -i -X POST -d @order.json -H 'content-type: application/json' https://api.example.com/orders --session cart-42",
  ],
);

function selectionOf({ ip, country, site, session, sticky, ttl }: Words, pool: string | null): Selection {
  const said = { pool: pool ?? undefined, ip, country, site, session, sticky, ttl };
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined)) as Selection;
}

function headersOf(lines: readonly string[]): Headers {
  return asOption(() => {
    const headers = new Headers();
    for (const line of lines) {
      const at = line.indexOf(":");
      if (at < 1) throw new TypeError(`--header ${line} is not of the form name: value.`);
      headers.append(line.slice(0, at), line.slice(at + 1).trim());
    }
    return headers;
  });
}

async function readBody(data: string): Promise<string | Uint8Array<ArrayBuffer>> {
  if (!data.startsWith("@")) return data;
  const from = data === "@-" ? process.stdin : createReadStream(data.slice(1));
  return ofFile(`--data ${data}`, bytesUpTo(MOST_BODY_BYTES, from));
}

/** It is a file of the person's, so it is not to be taken for one of the state directory. */
async function ofFile<Result>(option: string, used: Promise<Result>): Promise<Result> {
  try {
    return await used;
  } catch (fault) {
    throw optionInvalid(`${option} cannot be used: ${(fault as Error).message}.`);
  }
}

async function show(response: Response, { include, output, verbose, json }: Words): Promise<void> {
  const source = egressOf(response);
  const from =
    source === null
      ? "The answer does not say from where it left."
      : `Left from ${source.ip} port ${source.port}, by ${source.host}.`;
  if (verbose === true) console.error(printable(from));
  if (json === true) {
    const headers = Object.fromEntries(response.headers);
    await print(
      printableJson({ status: response.status, egress: source, headers, body: await response.text() }, 2),
    );
    return;
  }
  if (include === true) {
    const lines = [...response.headers].map(([name, value]) => printable(`${name}: ${value}`));
    const head = printable(`HTTP ${response.status} ${response.statusText}`.trimEnd());
    await print([head, ...lines, ""].join("\n"));
  }
  if (response.body === null) return;
  const sink = output === undefined ? process.stdout : createWriteStream(output);
  try {
    await pipeline(Readable.fromWeb(response.body), sink, { end: output !== undefined });
  } catch (fault) {
    throw new CommandFault(
      "output-failed",
      `The answer cannot be passed on: ${(fault as Error).message}`,
      fault,
    );
  }
}

/** What the SDK refuses as a TypeError is an option of ours. */
function asOption<Result>(make: () => Result): Result {
  try {
    return make();
  } catch (fault) {
    throw fault instanceof TypeError ? optionInvalid(fault.message) : fault;
  }
}
