/** Ways to translate what a sender behind a host sends, of which ours is one. */
import { UNIT_PORT_COUNT } from "../../src/core/port-block.ts";
import { execInside } from "../../test/lab/namespaces.ts";

/** The shared address, and the network of the senders. */
export const SHARED = "192.0.2.1";
export const SENDERS = "10.88.1.0/24";

/** One way, at work on one host. */
export interface Translation {
  readonly name: string;
  /** From now on these units of the shared address are for the senders of the host in this namespace. */
  use(namespace: string, units: readonly number[]): Promise<void>;
  /** Done when it has looked at what there is and drawn its conclusions, if it does so. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

/** The kernel's own masquerading: the host's address, and any port. It has no bounds to keep. */
export function masquerade(): Translation {
  return ofRules("masquerade", () => "masquerade");
}

/** One range as wide as all units together, which must lie side by side. */
export function wideRange(): Translation {
  return ofRules("one wide range", (units) => {
    const first = Math.min(...units) * UNIT_PORT_COUNT;
    const last = (Math.max(...units) + 1) * UNIT_PORT_COUNT - 1;
    return `meta l4proto { tcp, udp } snat ip to ${SHARED}:${first}-${last} fully-random`;
  });
}

function ofRules(name: string, rule: (units: readonly number[]) => string): Translation {
  return {
    name,
    use: async (namespace, units) => {
      const chain = `type nat hook postrouting priority srcnat; ip saddr ${SENDERS} oifname "out0" ${rule(units)};`;
      await execInside(
        namespace,
        ["nft", "-f", "-"],
        `flush ruleset\ntable ip nat { chain leave { ${chain} }; }\n`,
      );
    },
    settle: async () => {},
    close: async () => {},
  };
}
