/** What is mutated, by which tests a mutant is to be noticed, and how many of them are at least. */

/** A part of the sources with the tests that speak of it alone, which are fast. */
export interface Part {
  readonly sources: readonly string[];
  readonly tests: readonly string[];
  /** Where they run (vitest.config.ts). */
  readonly project: "node" | "workerd" | "durable-objects";
  /** Of a hundred mutants so many are noticed. */
  readonly leastScore: number;
}

const AGENT = "src/agent";

export const PARTS: Readonly<Record<string, Part>> = {
  core: {
    sources: ["src/core/*.ts"],
    // What a property test notices by chance is not well tested; and they take longest by far.
    tests: ["test/core/!(*.property).test.ts"],
    project: "node",
    leastScore: 90,
  },
  wire: {
    sources: ["src/wire/*.ts", "!src/wire/tokens.ts"],
    // The fuzz takes longer for each mutant than all that is directed.
    tests: ["test/wire/!(*.fuzz).test.ts"],
    project: "node",
    leastScore: 90,
  },
  tokens: {
    sources: ["src/wire/tokens.ts", "src/core/identity.ts"],
    tests: ["test/wire/tokens.test.ts", "test/core/identity.test.ts"],
    project: "node",
    leastScore: 90,
  },
  destinations: {
    sources: [
      "src/policy/address-rules.ts",
      "src/policy/embedded-addresses.ts",
      "src/policy/special-ranges.ts",
      `${AGENT}/egress/destination-url.ts`,
      `${AGENT}/egress/own-addresses.ts`,
      `${AGENT}/traffic/fetch/redirect.ts`,
    ],
    tests: [
      "test/policy/address-rules.test.ts",
      "test/agent/destination-url.test.ts",
      "test/agent/own-addresses*.test.ts",
      "test/agent/redirect-rules.test.ts",
    ],
    project: "node",
    leastScore: 90,
  },
  ports: {
    sources: [
      `${AGENT}/egress/address-ports.ts`,
      `${AGENT}/egress/{held-port,hold-queue}.ts`,
      `${AGENT}/egress/per-destination-ports.ts`,
      `${AGENT}/egress/port-binder.ts`,
      `${AGENT}/egress/random-numbers.ts`,
    ],
    tests: [
      "test/agent/address-ports.property.test.ts",
      "test/agent/address-ports.test.ts",
      "test/agent/random-numbers.test.ts",
      "test/agent/resting-ports.test.ts",
    ],
    project: "node",
    leastScore: 80,
  },
  dials: {
    sources: [
      `${AGENT}/admission/address-choice.ts`,
      `${AGENT}/egress/dial.ts`,
      `${AGENT}/egress/happy-eyeballs.ts`,
      `${AGENT}/egress/resolver.ts`,
    ],
    tests: ["test/agent/{address-choice,dial,happy-eyeballs,resolver}.test.ts"],
    project: "node",
    leastScore: 80,
  },
  leasing: {
    sources: [`${AGENT}/leasing/*.ts`],
    tests: [
      "test/agent/lease-keeper.test.ts",
      "test/agent/lease-renewal.test.ts",
      "test/agent/pool-member.test.ts",
      "test/agent/driven-member.test.ts",
      "test/agent/drain-taken-back.test.ts",
      "test/agent/address-member.test.ts",
      "test/agent/static-{keeper,member}.test.ts",
      "test/agent/{growth-policy,lease-holdings,lease-requests,own-place,capacity-report,ports-apart}.test.ts",
    ],
    project: "node",
    leastScore: 80,
  },
  control: {
    sources: [`${AGENT}/egress/port-applier.ts`, `${AGENT}/machine/guarded-ports.ts`],
    tests: ["test/agent/{guarded-ports,port-applier,ports-apart}.test.ts"],
    project: "node",
    leastScore: 80,
  },
  traffic: {
    sources: [
      `${AGENT}/traffic/http/forwarded-headers.ts`,
      `${AGENT}/traffic/http/reason-phrase.ts`,
      `${AGENT}/traffic/gateway/request-head.ts`,
      `${AGENT}/traffic/http2/hpack-{decoder,encoder,huffman}.ts`,
      `${AGENT}/traffic/http1/http1-response.ts`,
      `${AGENT}/traffic/fetch/small-pieces.ts`,
      `${AGENT}/egress/faults.ts`,
    ],
    tests: [
      "test/agent/{faults,hpack,hpack-bounds,http1-response,reason-phrase,request-head,small-pieces}.test.ts",
    ],
    project: "node",
    leastScore: 80,
  },
  sdk: {
    sources: ["src/sdk/*.ts"],
    tests: ["test/sdk/{egress,destination-body,destination-call}.test.ts"],
    project: "node",
    leastScore: 80,
  },
  router: {
    sources: ["src/router/feed/steering-progress.ts", "src/router/feed/steering-member.ts"],
    tests: ["test/router/steering-{state,member}*.test.ts"],
    project: "node",
    leastScore: 80,
  },
  // Inside workerd each mutant takes seconds for each file of tests: for hours, or some lines of it.
  worker: {
    sources: ["", "/identity", "/routes", "/runtime"].map((room) => `src/worker${room}/*.ts`),
    tests: [
      "test/worker/{administration,control-plane,cross-origin,identity,peer-websockets,service-binding}.test.ts",
      "test/worker/{gateway-network,gateway-tokens,pools-of-administrators,request-head}.test.ts",
      "test/worker/{routes,selection,steering}.test.ts",
    ],
    project: "workerd",
    leastScore: 80,
  },
  "worker-egress": {
    sources: ["src/worker/egress/*.ts"],
    tests: [
      "test/worker/{cross-origin,early-answers,forward,host-search,lost-hosts}.test.ts",
      "test/worker/{placement,request-head,selection,upload-go-ahead,uploads}.test.ts",
    ],
    project: "workerd",
    leastScore: 80,
  },
  "worker-hosts": {
    sources: ["src/worker/hosts/*.ts"],
    tests: ["test/worker/{host-watch,long-waits,passing-marks,placement}.test.ts"],
    project: "workerd",
    leastScore: 80,
  },
  objects: {
    sources: ["address", "calls", "catalogue", "platform", "pool", "steering", "storage"].map(
      (room) => `durable-objects/${room}/*.ts`,
    ),
    tests: ["test/durable-objects/*.test.ts"],
    project: "durable-objects",
    leastScore: 80,
  },
};
