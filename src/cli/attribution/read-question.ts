/** What `who` is asked, from its words. */
import type { edgeApi } from "../../api/edge-api.ts";
import { optionInvalid, readPlace } from "../../process/command-options.ts";
import { canonicalAddress } from "../read-address.ts";
import { parseInstant } from "../../wire/instant.ts";

/** The words of the command. */
export interface QuestionWords {
  readonly at?: string;
  readonly protocol?: string;
  readonly to?: string;
}

/** As the API takes it. */
export type Question = Parameters<ReturnType<typeof edgeApi>["findHolders"]>[0];

const PROTOCOLS = ["tcp", "udp", "icmp"] as const;

/** Reads them; throws `option-invalid`. */
export function readQuestion(place: string, { at, protocol: word, to }: QuestionWords): Question {
  const { host, port } = readPlace("The place", place, "192.0.2.1:5312 or [2001:db8::1]:5312");
  const ip = canonicalAddress(host);
  if (ip === null)
    throw optionInvalid(`${host} is no IP address, as in 192.0.2.1:5312 or [2001:db8::1]:5312.`);
  if (at !== undefined && parseInstant(at) === null) {
    throw optionInvalid(
      `--at ${at} is no RFC 3339 time, such as 2026-11-29T12:03:07Z, and no Unix milliseconds.`,
    );
  }
  const protocol = PROTOCOLS.find((known) => known === word);
  if (word !== undefined && protocol === undefined) {
    throw optionInvalid(`--protocol ${word} is not one of ${PROTOCOLS.join(", ")}.`);
  }
  return { ip, port: String(port), at, protocol, destination: to === undefined ? undefined : readTo(to) };
}

function readTo(text: string): string {
  const { host, port } = readPlace("--to", text);
  const ip = canonicalAddress(host);
  if (ip === null || port === 0)
    throw optionInvalid(`--to ${text} is no address and port, as in 203.0.113.5:443.`);
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}
