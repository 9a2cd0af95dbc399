/**
 * Our proxy without an edge: the agent's data plane as it is, with blocks added by hand, which no lease
 * keeper has to renew. Its client's login for the rows with credentials is left in DIRECTORY/login.
 *
 * Given limits as JSON, a tenant `flood` has them; its login is left in DIRECTORY/login-flood.
 *
 *     node bench/proxy/ours.ts PORT DIRECTORY [LIMITS]
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pino } from "pino";
import { parseConfig } from "../../src/agent/command-line.ts";
import { DataPlane } from "../../src/agent/data-plane.ts";
import { DEFAULT_POOL_POLICY, NO_LIMITS, UNRESTRICTED } from "../../src/core/pool-policy.ts";
import { readClock } from "../../src/process/clock.ts";
import { generateKey, publicPart } from "../../src/wire/keys.ts";
import { signToken, TokenVerifier } from "../../src/wire/tokens.ts";

const POOL = "main";
const EGRESS_IP = "127.0.0.10";
/** Seven blocks below the kernel's ephemeral range, so that neither is in the other's way. */
const FIRST_PORT = 4_096;
const BLOCK_ORDER = 12;
const BLOCK_COUNT = 7;
const TERM_MS = 86_400_000;
/** What of a token goes into the user name, for a password of SOCKS5 has 255 bytes. */
const TOKEN_BEGINNING = 200;

const [port, directory, limits] = process.argv.slice(2) as [string, string, string?];
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
const tenants =
  limits === undefined ? {} : { flood: { ...UNRESTRICTED, limits: { ...NO_LIMITS, ...JSON.parse(limits) } } };
dataPlane.takePolicy({ ...DEFAULT_POOL_POLICY, tenants });
const address = dataPlane.binder.addAddress(EGRESS_IP);
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
