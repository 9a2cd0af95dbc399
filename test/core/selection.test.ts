/** Which values a selection may have. */
import { describe, expect, test } from "vitest";
import { isName, toSelection } from "../../src/core/selection.ts";

/** What a selection with this one member comes to: that member, or why it is refused. */
function judged(key: string, value: string): unknown {
  const outcome = toSelection([[key, value]]);
  return outcome.ok ? outcome.value : outcome.refusal;
}

const invalid = (member: string) => ({ code: "selection-value-invalid", member });

describe("a selection", () => {
  test("[SE1] has all the members that were given, and none that was not", () => {
    const place = { country: "de", site: "Rack 7, Frankfurt" };
    const members = { pool: "eu", ip: "192.0.2.1", ...place, session: "cart 42", sticky: "strict" };
    expect(toSelection(Object.entries(members))).toEqual({ ok: true, value: members });
    expect(toSelection([])).toEqual({ ok: true, value: {} });
  });

  test.each(["contry", "Pool", "", "constructor", "toString", "__proto__"])(
    "[SE1] with the key '%s' is refused, for that key",
    (key) => {
      expect(judged(key, "eu")).toEqual({ code: "selection-key-unknown", member: key });
    },
  );

  test("[SE1] is refused for one bad member among good ones", () => {
    const outcome = toSelection([
      ["pool", "eu"],
      ["contry", "de"],
      ["sticky", "soft"],
    ]);
    expect(outcome).toEqual({ ok: false, refusal: { code: "selection-key-unknown", member: "contry" } });
  });
});

describe("the name of a pool or a host", () => {
  test.each(["e", "7", "eu", "eu-west-1", "eu.west_1", "a-", `a${"-".repeat(62)}`])(
    "[SE3] may be %s",
    (name) => {
      expect(isName(name)).toBe(true);
      expect(judged("pool", name)).toEqual({ pool: name });
    },
  );

  test.each([
    "",
    "EU",
    "eU",
    "-eu",
    ".eu",
    "_eu",
    "eu west",
    " eu",
    "eu ",
    "eu/",
    "eü",
    `a${"-".repeat(63)}`,
  ])("[SE3] may not be '%s'", (name) => {
    expect(isName(name)).toBe(false);
    expect(judged("pool", name)).toEqual(invalid("pool"));
  });
});

describe("an address", () => {
  // The longest there is, as text.
  const longest = "2001:0db8:0000:0000:0000:ffff:255.255.255.255";

  test.each(["::", "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", longest])("[SE3] may be %s", (ip) => {
    expect(judged("ip", ip)).toEqual({ ip });
  });

  test.each([
    "",
    ":",
    "example.com",
    "[::1]",
    "::1]",
    "192.0.2.1 ",
    " 192.0.2.1",
    "2001:DB8::1",
    `${longest}0`,
  ])("[SE3] may not be '%s'", (ip) => {
    expect(judged("ip", ip)).toEqual(invalid("ip"));
  });
});

describe("a country", () => {
  test.each(["de", "DE", "dE"])("[SE3] may be %s, and is then de", (country) => {
    expect(judged("country", country)).toEqual({ country: "de" });
  });

  test.each(["", "d", "deu", "d-", "de ", "Germany"])("[SE3] may not be '%s'", (country) => {
    expect(judged("country", country)).toEqual(invalid("country"));
  });
});

describe("a site", () => {
  test.each(["fra1", "Rack 7, Frankfurt", "x".repeat(63)])("[SE3] may be '%s', as it is written", (site) => {
    expect(judged("site", site)).toEqual({ site });
  });

  test.each(["", " fra1", "fra1 ", "fr\na1", "köln", "x".repeat(64)])("[SE3] may not be '%s'", (site) => {
    expect(judged("site", site)).toEqual(invalid("site"));
  });
});

describe("a session", () => {
  test.each(["x", " ", "~", "cart 42", '"; drop', "x".repeat(128)])("[SE3] may be '%s'", (session) => {
    expect(judged("session", session)).toEqual({ session });
  });

  test.each(["", "\n", "cart\n", "\tcart", "cart\u007f", "\u001fcart", "körb", "x".repeat(129)])(
    "[SE3] may not be '%s'",
    (session) => {
      expect(judged("session", session)).toEqual(invalid("session"));
    },
  );
});

describe("the mode of a session", () => {
  test.each(["soft", "strict"])("[SE3] may be %s", (sticky) => {
    expect(judged("sticky", sticky)).toEqual({ sticky });
  });

  test.each(["", "always", "Soft", "softstrict", "strict "])("[SE3] may not be '%s'", (sticky) => {
    expect(judged("sticky", sticky)).toEqual(invalid("sticky"));
  });
});
