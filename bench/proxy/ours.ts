/**
 * Our proxy without an edge: the agent's data plane as it is, with blocks added by hand, which no lease
 * keeper has to renew. Its client's login for the rows with credentials is left in DIRECTORY/login.
 *
 * Given limits as JSON, a tenant `flood` has them; its login is left in DIRECTORY/login-flood. Given a number of
 * entries as well, the lists of the pool and of this tenant have so many.
 *
 *     node bench/proxy/ours.ts PORT DIRECTORY [LIMITS [ENTRIES]]
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pino } from "pino";
import { parseConfig } from "../../src/agent/command-line.ts";
import { DataPlane } from "../../src/agent/data-plane.ts";
import {
  DEFAULT_POOL_POLICY,
  type DestinationRules,
  NO_LIMITS,
  UNRESTRICTED,
} from "../../src/core/pool-policy.ts";
import { readClock } from "../../src/process/clock.ts";
import { generateKey, publicPart } from "../../src/wire/keys.ts";
import { signToken, TokenVerifier } from "../../src/wire/tokens.ts";

const POOL = "main";
/** Seven blocks below the kernel's ephemeral range, so that neither is in the other's way. */
const FIRST_PORT = 4_096;
const BLOCK_ORDER = 12;
const BLOCK_COUNT = 7;
const TERM_MS = 86_400_000;
/** What of a token goes into the user name, for a password of SOCKS5 has 255 bytes. */
const TOKEN_BEGINNING = 200;

const [port, directory, limits, entryCount = "0"] = process.argv.slice(2) as [
  string,
  string,
  string?,
  string?,
];
/** Of its own, so that two of ours can be beside each other. */
const egressIp = `127.0.0.${10 + (Number(port) % 100)}`;
const config = parseConfig(
  [
    ["--edge", "http://127.0.0.1:1/"],
    ["--pool", POOL],
    ["--token-file", join(directory, "none")],
    ["--state", directory],
    ["--listen", "127.0.0.1:0"],
    ["--proxy", `127.0.0.1:${port}`],
    ["--allow", "127.0.0.0/8"],
    ["--machine", "off"],
  ].flat(),
  () => {},
)!;
const key = await generateKey("issuer");
const dataPlane = new DataPlane({
  config,
  host: "bench",
  verifier: new TokenVerifier({ keys: [publicPart(key)] }),
  describe: async () => ({}),
  log: pino({ level: "warn" }, process.stderr),
});
/** Lists that let the origin pass, and have all of their entries looked at. */
function listsOf(count: number): DestinationRules {
  const names = (kind: string): string[] =>
    Array.from({ length: count }, (_, at) => `*.${kind}${at}.example`);
  return { mode: "enforce", deny: names("denied"), allow: count === 0 ? [] : [...names("allowed"), "*"] };
}

const destinations = listsOf(Number(entryCount));
const tenants =
  limits === undefined
    ? {}
    : { flood: { ...UNRESTRICTED, destinations, limits: { ...NO_LIMITS, ...JSON.parse(limits) } } };
dataPlane.takePolicy({ ...DEFAULT_POOL_POLICY, destinations, tenants });
const address = dataPlane.binder.addAddress(egressIp);
for (let at = 0; at < BLOCK_COUNT; at += 1) {
  address.addBlock({ base: FIRST_PORT + at * 2 ** BLOCK_ORDER, order: BLOCK_ORDER, epoch: at + 1 });
}
const { monotonicMs, wallMs } = readClock();
address.setTerm({ monotonicEndMs: monotonicMs + TERM_MS, wallEndMs: wallMs + TERM_MS });
for (const [subject, file] of [
  ["bench", "login"],
  ["flood", "login-flood"],
] as const) {
  const client = { role: "client", subject, pools: [POOL], expiresAtMs: wallMs + TERM_MS } as const;
  const token = await signToken(client, key);
  const user = `pool=${POOL},token=${token.slice(0, TOKEN_BEGINNING)}`;
  const login = { user, password: token.slice(TOKEN_BEGINNING) };
  await writeFile(join(directory, file), JSON.stringify(login));
}
await dataPlane.listen();
dataPlane.uplinks.start();
