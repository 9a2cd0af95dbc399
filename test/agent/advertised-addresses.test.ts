/** How a host's addresses are seen by the Internet: told by its pool, remembered, told to clients. */
import { expect, onTestFinished, test } from "vitest";
import { PortBinder } from "../../src/agent/egress/port-binder.ts";
import { PoolMember } from "../../src/agent/leasing/pool-member.ts";
import type { KeptAdvertised } from "../../src/agent/leasing/pool-member-options.ts";
import { DrivenTimers, drivenLinks } from "../link/driven-world.ts";
import { recordingLog } from "../link/loopback-edge.ts";

const IP = "192.0.2.1";

/** A host that has begun, and has heard nothing of its pool yet. */
function begun(advertised: KeptAdvertised) {
  const timers = new DrivenTimers();
  const binder = new PortBinder({ timers });
  const { openLink, links } = drivenLinks();
  const member = new PoolMember({
    edge: new URL("http://edge.example"),
    pool: "default",
    gateway: "http://203.0.113.1:7001",
    instance: "instance-1",
    token: async () => "the-token",
    binder,
    epochs: { highestEpoch: () => 0, noteEpoch: () => {} },
    advertised,
    drainDeadlineMs: 60_000,
    openLink,
    timers,
    log: recordingLog().log,
  });
  onTestFinished(() => member.stop());
  member.start();
  return { binder, pool: links[0]! };
}

function enlisted(advertised: KeptAdvertised) {
  const { binder, pool } = begun(advertised);
  pool.receive({ type: "enlisted", pool: "default", ips: [IP] });
  return { binder, pool };
}

test("[PF5] what the Internet sees instead of an address is told to clients, and remembered", () => {
  const kept: Readonly<Record<string, string>>[] = [];
  const advertised = {
    keptAdvertised: { [IP]: "203.0.113.8" },
    keepAdvertised: (latest: Readonly<Record<string, string>>) => void kept.push(latest),
  };
  const { binder, pool } = enlisted(advertised);
  // As it enlists here nothing is said any more of what was remembered.
  expect([binder.address(IP)!.advertised, kept]).toEqual([null, [{}]]);
  const told = { [IP]: "203.0.113.9" };
  for (let times = 0; times < 2; times += 1) {
    pool.receive({ type: "enlisted", pool: "default", ips: [IP], advertised: told });
  }
  expect([binder.address(IP)!.advertised, kept]).toEqual(["203.0.113.9", [{}, told]]);
  // An address that is served only now is known by its name from the beginning.
  const both = { ...told, "192.0.2.2": "203.0.113.10" };
  pool.receive({ type: "enlisted", pool: "default", ips: [IP, "192.0.2.2"], advertised: both });
  expect(binder.address("192.0.2.2")!.advertised).toBe("203.0.113.10");
  // One that is being left keeps its name as long as flows may be on it.
  pool.receive({ type: "enlisted", pool: "default", ips: [IP], retiring: [], advertised: told });
  expect(binder.address("192.0.2.2")!.advertised).toBe("203.0.113.10");
});

test("[PF5] before the pool has said anything, what was remembered is told", () => {
  const { binder } = begun({ keptAdvertised: { [IP]: "203.0.113.8" }, keepAdvertised: () => {} });
  expect(binder.addAddress(IP).advertised).toBe("203.0.113.8");
});
