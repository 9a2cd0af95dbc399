/** What the register keeps of sessions: sign-in codes, and those that were ended. */
import { describe, expect, it } from "vitest";
import { newTokenId } from "../../src/wire/tokens.ts";
import { administer, environment } from "./edge.ts";

const HOUR_MS = 3_600_000;

const registerOf = (name: string) => environment.ACCESS_REGISTER.getByName(name);
const code = (id: string, madeBy: string, endsAtMs = Date.now() + HOUR_MS) => ({
  id,
  sealed: `sealed ${id}`,
  endsAtMs,
  madeBy,
});

describe("sign-in codes", () => {
  it("[DA4] are given away once, while they are good", async () => {
    const register = registerOf("codes");
    await register.keepSignIn(code("good", "ada"));
    await register.keepSignIn(code("over", "ada", Date.now() - 1));
    expect(await register.takeSignIn("good")).toBe("sealed good");
    expect(await register.takeSignIn("good")).toBeNull();
    expect(await register.takeSignIn("over")).toBeNull();
    expect(await register.takeSignIn("none")).toBeNull();
  });

  it("[DA4] are the latest 16 of one maker, who keeps nobody else from signing in", async () => {
    const register = registerOf("many-codes");
    await register.keepSignIn(code("of-grace", "grace"));
    for (let at = 0; at < 20; at += 1) {
      const kept = await register.keepSignIn(code(`c${at}`, "ada", Date.now() + HOUR_MS + at));
      expect(kept.ok).toBe(true);
    }
    expect(await register.takeSignIn("c3")).toBeNull();
    expect(await register.takeSignIn("c4")).toBe("sealed c4");
    expect(await register.takeSignIn("of-grace")).toBe("sealed of-grace");
  });

  it("[DA4] are a thousand at most", async () => {
    const register = registerOf("full-of-codes");
    const making = Array.from({ length: 1_000 }, (_, at) =>
      register.keepSignIn(code(`c${at}`, `maker-${Math.floor(at / 16)}`)),
    );
    expect((await Promise.all(making)).every(({ ok }) => ok)).toBe(true);
    const refused = { ok: false, refusal: "register-full" };
    expect(await register.keepSignIn(code("more", "another"))).toEqual(refused);
    await register.takeSignIn("c0");
    expect((await register.keepSignIn(code("more", "another"))).ok).toBe(true);
  });
});

describe("sessions that were ended", () => {
  const ada = { name: "ada", pools: ["*"] };

  it("[DA6] are told as what was revoked is, and are bounded for each name", async () => {
    const register = registerOf("ended");
    const endsAtMs = Date.now() + HOUR_MS;
    const before = (await register.access(null))!.version;
    const ending = Array.from({ length: 200 }, (_, at) =>
      register.endSession(ada, `session-${at}`, endsAtMs),
    );
    expect((await Promise.all(ending)).every(({ ok }) => ok)).toBe(true);
    const { revocations, version } = (await register.access(null))!;
    expect(version).toBe(before + 200);
    expect(revocations).toContainEqual({ tokenId: "session-7", pools: ["*"], expiresAtMs: endsAtMs });
    const refused = { ok: false, refusal: "register-full" };
    expect(await register.endSession(ada, "one-more", endsAtMs)).toEqual(refused);
    // The same again is no news, and others sign out all the same.
    expect((await register.endSession(ada, "session-0", endsAtMs)).ok).toBe(true);
    expect((await register.endSession({ ...ada, name: "grace" }, "hers", endsAtMs)).ok).toBe(true);
  });

  it("[DA6] are forgotten when they would have ended, and make room", async () => {
    const register = registerOf("ended-by-themselves");
    const over = Date.now() - 1;
    await Promise.all(Array.from({ length: 200 }, (_, at) => register.endSession(ada, `s${at}`, over)));
    expect((await register.endSession(ada, "more", Date.now() + HOUR_MS)).ok).toBe(true);
    expect((await register.access(null))!.revocations).toHaveLength(1);
  });

  it("[DA6] take no room from revocations, and are in no log of changes", async () => {
    const register = registerOf("roomy");
    const limited = { name: "held", pools: ["eu"] };
    const endsAtMs = Date.now() + HOUR_MS;
    await Promise.all(
      Array.from({ length: 100 }, (_, at) => register.endSession(limited, `s${at}`, endsAtMs)),
    );
    const revoked = await register.revoke(limited, { id: newTokenId(), endsAtMs: Date.now() + HOUR_MS });
    expect(revoked.ok).toBe(true);
    const entries = await register.audit({ limit: 200 });
    expect(entries.map(({ route }) => route)).toEqual(["revokeTokens"]);
  });

  it("[DA6] are no business of hosts: the policy that they fetch stays the same", async () => {
    const pool = "of-ended-sessions";
    await administer("PUT", `/v1/pools/${pool}`, {});
    const versionOf = async (): Promise<unknown> => {
      const policy = await administer("GET", `/v1/pools/${pool}/policy`);
      return (await policy.json<{ version: number }>()).version;
    };
    const told = environment.EGRESS_POOL.getByName(pool);
    const ended = { tokenId: newTokenId(), role: null, expiresAtMs: Date.now() + HOUR_MS };
    const before = await versionOf();
    await told.takeRevocations([{ ...ended, isSession: true }]);
    expect(await versionOf()).toBe(before);
    await told.takeRevocations([ended]);
    expect(await versionOf()).not.toBe(before);
  });
});
