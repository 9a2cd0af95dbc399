/** What can be changed from the page, and what each change will do, told before it is done. */
import type { AddressRow, HostRow } from "../fleet/attention.ts";
import { counted, pathPart, whole } from "../parts/words.ts";

export type AddressVerb = "drain" | "resume" | "remove";
export type HostVerb = "drain" | "resume" | "remove";

/** A change, ready to be confirmed. */
export interface Change {
  /** As on the button: `Drain 192.0.2.1`. */
  readonly title: string;
  readonly method: "POST" | "DELETE";
  readonly path: string;
  /** Sentences: what happens, what does not, and how it is taken back. */
  readonly willDo: readonly string[];
  /** What has to be typed first, for what cannot be taken back by one word. */
  readonly typed: string | null;
}

/** A change of an address. */
export function addressChange(verb: AddressVerb, pool: string, row: AddressRow): Change {
  const { ip } = row.ip;
  const path = `/v1/pools/${pathPart(pool)}/ips/${pathPart(ip)}`;
  const now = `${counted(row.heldCount, "port")} of it ${row.heldCount === 1 ? "is" : "are"} held now, by ${counted(row.liveHostCount, "live host")}.`;
  if (verb === "drain")
    return {
      title: `Drain ${ip}`,
      method: "POST",
      path: `${path}/drain`,
      typed: null,
      willDo: [
        "Hosts take no new flows from this address; what runs goes on until it ends, and none is cut.",
        row.isLast
          ? `No other address serves: until one does, requests through the pool ${pool} are refused.`
          : "The pool assigns other addresses in its place, as far as it has them.",
        "The address stays in the pool.",
        now,
        "Resume takes it back.",
      ],
    };
  if (verb === "resume")
    return {
      title: `Resume ${ip}`,
      method: "POST",
      path: `${path}/resume`,
      typed: null,
      willDo: ["The drain of this address ends: hosts may serve it again, and lease its ports."],
    };
  return {
    title: `Remove ${ip}`,
    method: "DELETE",
    path,
    typed: ip,
    willDo: [
      `The address leaves the pool ${pool}: at once from use, and for good when no port of it is held any more.`,
      ...(row.isLast
        ? [`No other address serves: until one does, requests through the pool ${pool} are refused.`]
        : []),
      now,
      "What runs goes on until it ends. While it retires, adding it again takes the removal back.",
    ],
  };
}

/** A change of a host. */
export function hostChange(verb: HostVerb, pool: string, row: HostRow): Change {
  const { host } = row.host;
  const path = `/v1/pools/${pathPart(pool)}/hosts/${pathPart(host)}`;
  const now = `It holds ${counted(row.heldCount, "port")} on ${counted(row.host.rooms.length, "address", "addresses")} now.`;
  if (verb === "drain")
    return {
      title: `Drain ${host}`,
      method: "POST",
      path: `${path}/drain`,
      typed: null,
      willDo: [
        "The host gets no new requests; what runs on it goes on until it ends, and none is cut.",
        row.isLast
          ? `No other host serves: until one does, requests through the pool ${pool} are refused.`
          : "Other hosts serve its addresses in its place.",
        now,
        "Resume takes it back.",
      ],
    };
  if (verb === "resume")
    return {
      title: `Resume ${host}`,
      method: "POST",
      path: `${path}/resume`,
      typed: null,
      willDo: ["The drain of this host ends: it is assigned addresses again, and gets requests."],
    };
  const { slots } = row.host;
  return {
    title: `Remove ${host}`,
    method: "DELETE",
    path,
    typed: host,
    willDo: [
      "The pool forgets this host. It is for one that is gone for good: one that still runs enlists again.",
      "The edge refuses while it is heard, or while leases of it may not be over.",
      ...(slots.length > 0
        ? [
            `Its ${whole(slots.length)} static ${slots.length === 1 ? "slot ends" : "slots end"}, and may be another's after the quarantine.`,
          ]
        : []),
      now,
    ],
  };
}
