/** What nft lists, as it prints it, and as no nft of ours would. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { LEASABLE_BLOCK } from "../core/arbitraries.ts";
import { blocksOverlap } from "../../src/core/port-block.ts";
import { containerId, type Contents, contentsOf } from "../../src/router/rules/steering-transactions.ts";
import { DROP_REASONS } from "../../src/router/steering/drop-reasons.ts";
import { dropCountsOf, snapshotOf } from "../../src/router/rules/steering-snapshot.ts";
import { parseListing } from "../../src/linux/nftables/listing.ts";
import { containers } from "../../src/router/rules/steering-declarations.ts";
import { garbage, mutationsOf } from "../wire/mutations.ts";
import { CONFIG, IPV4, IPV6, table } from "./steering-fixture.ts";

/** Its number begins with zeros, which nft leaves out. */
const LOW_IPV6 = "64:ff9b::c000:201";
const IPS = [IPV4, IPV6, LOW_IPV6];

/** Blocks of the addresses, none over another. */
const entries = fc.uniqueArray(
  fc
    .tuple(fc.constantFrom(...IPS), LEASABLE_BLOCK, fc.constantFrom("h1", "h2", "unknown"))
    .map(([ip, { base, order }, host]) => ({ ip, base, order, host, epoch: 1 })),
  { maxLength: 6, comparator: (a, b) => a.ip === b.ip && blocksOverlap(a, b) },
);
const contents: fc.Arbitrary<Contents> = entries.map(
  (held) => contentsOf(CONFIG, { ...table(1, held), ips: IPS }).contents,
);

/** As nft prints it: short numbers in decimal, long ones in hexadecimal without leading zeros. */
function listingOf(wanted: Contents): object {
  const objects = [...wanted].map(([id, elements]) => {
    const [family, name] = id.split(" ");
    const isMap = [...elements.values()].some((data) => data !== null);
    const elem = [...elements].map(([key, data]) => (isMap ? [printedKey(key), data] : printedKey(key)));
    return { [isMap ? "map" : "set"]: { family, name, ...(elem.length > 0 && { elem }) } };
  });
  return { nftables: [{ metainfo: { version: "1.0.6", json_schema_version: 1 } }, ...objects] };
}

function printedKey(key: string): unknown {
  const parts = key.split(" ").map((part) => (part.startsWith("0x") ? hexadecimal(part) : Number(part)));
  return parts.length === 1 ? parts[0] : { concat: parts };
}

function hexadecimal(text: string): string {
  return text.replace(/^0x0*/, "0x");
}

test("[RT5] what was put into the kernel is read back as it was put", () => {
  fc.assert(
    fc.property(contents, (wanted) => {
      const read = snapshotOf(CONFIG, parseListing(JSON.stringify(listingOf(wanted))));
      expect(read.foreign).toEqual([]);
      for (const [id, elements] of wanted) expect(read.contents.get(id)).toEqual(elements);
    }),
  );
});

/** What came of reading; null for a fault: a router tries again, and changes nothing until it can read. */
function readOrFault<Result>(read: () => Result): Result | null {
  try {
    return read();
  } catch {
    return null;
  }
}

test("[RT5] a listing that is no listing is a fault, or tells of nothing but our containers", () => {
  const ours = new Set(containers(CONFIG).map((container) => containerId(container.table, container.name)));
  let readCount = 0;
  fc.assert(
    fc.property(fc.oneof(mutationsOf(contents.map(listingOf)), garbage), (text) => {
      const read = readOrFault(() => snapshotOf(CONFIG, parseListing(text)));
      if (read === null) return;
      readCount += 1;
      for (const [id, elements] of read.contents) {
        expect(ours).toContain(id);
        for (const key of elements.keys()) expect(typeof key).toBe("string");
      }
    }),
    { numRuns: 1_000 },
  );
  expect(readCount).toBeGreaterThan(20);
});

test("[RT4] drops are counted for the reasons there are, whatever is listed", () => {
  const counted = fc.record({ val: fc.nat(20), counter: fc.record({ packets: fc.nat() }) });
  const elem = fc.array(counted.map((element) => ({ elem: element })));
  const set = fc.record({ name: fc.constant("reasons"), elem });
  const listing = fc.array(set.map((only) => ({ set: only }))).map((nftables) => ({ nftables }));
  let readCount = 0;
  fc.assert(
    fc.property(fc.oneof(mutationsOf(listing), garbage), (text) => {
      const read = readOrFault(() => dropCountsOf(parseListing(text)));
      if (read === null) return;
      readCount += 1;
      expect(Object.keys(read.byReason)).toEqual([...DROP_REASONS]);
    }),
    { numRuns: 500 },
  );
  expect(readCount).toBeGreaterThan(20);
});
