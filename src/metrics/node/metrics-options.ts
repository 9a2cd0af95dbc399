/** `--metrics` and `--metrics-token-file`, as agents and routers have them. [MT3] */
import type { Command } from "commander";
import { isLoopback } from "../../core/plain-http.ts";
import { CommandFault } from "../../process/command-fault.ts";
import { optionInvalid, readPlace } from "../../process/command-options.ts";
import { judgedFile, type NamedFiles } from "../../process/named-files.ts";
import { ALLOW_PLAIN_HTTP, plainHttpRefused } from "../../process/plain-http-option.ts";
import { readSmallFile } from "../../process/small-file.ts";

/** Where a scraper finds the metrics. */
export interface MetricsPlace {
  readonly host: string;
  readonly port: number;
  /** Holds what a scraper must show; null where whoever reaches it may read. */
  readonly tokenFile: string | null;
}

/** As commander has read them. */
export interface MetricsOptionTexts {
  readonly metrics?: string;
  readonly metricsTokenFile?: string;
}

/** The command with these options. */
export function withMetrics(command: Command): Command {
  return command
    .option(
      "--metrics <host:port>",
      "serve metrics to Prometheus, at /metrics; on this machine, unless there is a token",
    )
    .option(
      "--metrics-token-file <file>",
      "what Prometheus must show, as its bearer token: 16 characters or more",
    );
}

/**
 * Reads them; null for no metrics. Throws `option-invalid` where strangers could read them, and
 * `plain-http-refused` where the token would travel in plain text.
 */
export function readMetrics(
  { metrics, metricsTokenFile }: MetricsOptionTexts,
  allowsPlainHttp: boolean,
): MetricsPlace | null {
  const tokenFile = metricsTokenFile ?? null;
  if (metrics === undefined) {
    if (tokenFile === null) return null;
    throw optionInvalid("--metrics-token-file is given with --metrics.");
  }
  const place = readPlace("--metrics", metrics);
  if (isLoopback(place.host)) return { ...place, tokenFile };
  if (tokenFile === null) {
    throw optionInvalid(
      `--metrics ${metrics} would tell strangers about this host. Give --metrics-token-file, or listen on 127.0.0.1.`,
    );
  }
  if (allowsPlainHttp) return { ...place, tokenFile };
  throw plainHttpRefused(
    `--metrics ${metrics} would take its token over plain HTTP from other machines. Listen on 127.0.0.1, where a ` +
      `tunnel or a proxy with TLS comes to it; ${ALLOW_PLAIN_HTTP} is for a network that is yours alone.`,
  );
}

const LEAST_TOKEN_LENGTH = 16;

/** What a scraper must show. Throws `token-unreadable`. */
export async function readMetricsToken(file: string): Promise<string> {
  let token: string;
  try {
    token = (await readSmallFile(file)).trim();
  } catch (fault) {
    const message = `The file of --metrics-token-file, ${file}, cannot be read: ${(fault as Error).message}.`;
    throw new CommandFault("token-unreadable", message, fault);
  }
  if (token.length >= LEAST_TOKEN_LENGTH && /^\S+$/.test(token)) return token;
  const message = `${file} holds no token of ${LEAST_TOKEN_LENGTH} characters or more: put one there, such as of openssl rand -hex 32.`;
  throw new CommandFault("token-unreadable", message);
}

/** The file of that, for `--check-config`. */
export function metricsFiles(place: MetricsPlace | null): readonly NamedFiles[] {
  const file = place?.tokenFile ?? null;
  return file === null ? [] : [judgedFile("--metrics-token-file", file, () => readMetricsToken(file))];
}
