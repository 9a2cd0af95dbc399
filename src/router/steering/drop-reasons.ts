/** Why a packet for an address of the pool reaches no host. */
export const DROP_REASONS = [
  /** Its port is in no block that a reachable host holds. */
  "unleased",
  /** Its hop limit is used up. */
  "hop_limit",
  /** A later fragment: only the first carries the port. */
  "fragment",
  /** Neither TCP nor UDP nor ICMP, or its transport header cannot be found. */
  "other_protocol",
  /** A shared address is many machines: none answers for all. */
  "echo_request",
  /** An ICMP message that is neither an error nor an echo. */
  "other_icmp",
  /** An ICMP error about a packet that did not come from this address. */
  "unrelated_error",
  /** An ICMP error whose quote holds no port. */
  "unreadable_quote",
  /** One ICMP error too many for these ports of the address. */
  "error_rate",
  /** For a port of the host that is this machine, which does not have the address now. */
  "absent",
] as const;
export type DropReason = (typeof DROP_REASONS)[number];
