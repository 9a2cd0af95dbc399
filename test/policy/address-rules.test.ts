/** Private and special destinations in every spelling. */
import { describe, expect, it } from "vitest";
import { AddressRules } from "../../src/policy/address-rules.ts";
import { unmapped } from "../../src/policy/embedded-addresses.ts";
import { checkDestination } from "../../src/agent/egress/destination-url.ts";

const policy = new AddressRules();

const hex = (ip: string): string => {
  const [a, b, c, d] = ip.split(".").map(Number) as [number, number, number, number];
  return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
};
const teredo = (ip: string): string => {
  const [a, b, c, d] = ip.split(".").map((part) => Number(part) ^ 0xff) as [number, number, number, number];
  return `2001:0:808:808::${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
};

describe("IPv4", () => {
  it.each([
    ["0.0.0.0", "0.255.255.255"],
    ["10.0.0.0", "10.255.255.255"],
    ["100.64.0.0", "100.127.255.255"],
    ["127.0.0.0", "127.255.255.255"],
    ["169.254.0.0", "169.254.169.254"],
    ["172.16.0.0", "172.31.255.255"],
    ["192.0.0.0", "192.0.0.255"],
    ["192.0.2.0", "192.0.2.255"],
    ["192.88.99.0", "192.88.99.255"],
    ["192.168.0.0", "192.168.255.255"],
    ["198.18.0.0", "198.19.255.255"],
    ["198.51.100.0", "198.51.100.255"],
    ["203.0.113.0", "203.0.113.255"],
    ["224.0.0.0", "239.255.255.255"],
    ["240.0.0.0", "255.255.255.255"],
  ])("[DE1] refuses %s to %s", (first, last) => {
    expect(policy.permits(first)).toBe(false);
    expect(policy.permits(last)).toBe(false);
  });

  it.each([
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
  ])("[DE1] permits its neighbour %s", (address) => {
    expect(policy.permits(address)).toBe(true);
  });
});

describe("IPv6", () => {
  it.each([
    "::",
    "::1",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "fdff::1",
    "ff02::1",
    "100::1",
    "2001:db8::1",
    "3fff::1",
    "3fff:fff::1",
    "2001:2::1",
    "2001:10::1",
    "5f00::1",
    "4000::1",
    "64:ff9b:1::1",
    "64:ff9b:1::8.8.8.8",
  ])("[DE1] refuses %s", (address) => {
    expect(policy.permits(address)).toBe(false);
  });

  it.each(["2606:4700::1111", "2a00::1", "3ffe::1", "2001:200::1", "2001:4860:4860::8888"])(
    "[DE1] permits %s",
    (address) => {
      expect(policy.permits(address)).toBe(true);
    },
  );

  const forms: [string, (ip: string) => string][] = [
    ["mapped", (ip) => `::ffff:${ip}`],
    ["mapped in hexadecimal", (ip) => `0:0:0:0:0:ffff:${hex(ip)}`],
    ["compatible", (ip) => `::${ip}`],
    ["translated", (ip) => `::ffff:0:${hex(ip)}`],
    ["NAT64", (ip) => `64:ff9b::${ip}`],
    ["6to4", (ip) => `2002:${hex(ip)}::1`],
    ["Teredo client", teredo],
    ["Teredo server", (ip) => `2001:0:${hex(ip)}::f7f7:f7f7`],
    ["ISATAP", (ip) => `2a00::5efe:${hex(ip)}`],
    ["ISATAP, universal", (ip) => `2a00::200:5efe:${hex(ip)}`],
  ];
  it.each(forms)("[DE2] judges %s by the IPv4 address inside", (_name, form) => {
    for (const inner of ["10.0.0.1", "127.0.0.1", "169.254.169.254", "192.168.1.1"]) {
      expect(policy.permits(form(inner)), form(inner)).toBe(false);
    }
    expect(policy.permits(form("8.8.8.8")), form("8.8.8.8")).toBe(true);
  });

  it.each(["100:5efe", "300:5efe", "1:5efe", "ff00:5efe", "0:5eff", "0:5ffe", "0:fe5e"])(
    "[DE2] an identifier of %s is not ISATAP, and what follows it no IPv4 address",
    (identifier) => {
      expect(policy.permits(`2a00::${identifier}:a00:1`)).toBe(true);
    },
  );

  it("[DE2] a wrapping of what is allowed is allowed, of two only if both are", () => {
    const own = new AddressRules({ allowed: ["10.0.0.0/8", "8.8.8.8/32"], machine: { isOwn: () => true } });
    for (const address of ["64:ff9b::10.0.0.1", "2002:a00:1::1", teredo("10.0.0.1")]) {
      expect(own.refusalOf(address, 443), address).toBeNull();
    }
    // These are public, and so the kernel has a say.
    for (const address of ["64:ff9b::9.9.9.9", "2a00::5efe:a00:1", teredo("9.9.9.9")]) {
      expect(own.refusalOf(address, 443), address).toContain("an address of the host itself");
    }
    expect(own.refusalOf(teredo("172.16.0.1"), 443)).toContain("private or special");
  });
});

describe("through a URL", () => {
  it.each([
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0x7f.1",
    "127.1",
    "127.0.1",
    "0177.0.0.0x1",
    "0",
    "１２７.0.0.1",
    "127。0。0。1",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
  ])("[DE2] http://%s/ is loopback and refused", (host) => {
    const url = checkDestination(`http://${host}/`);
    if (!url.ok) throw new Error(url.refusal.code);
    expect(policy.permits(url.value.hostname.replace(/^\[|\]$/g, ""))).toBe(false);
  });
});

describe("exceptions", () => {
  it("[DE3] permits the ranges it is told, and only these", () => {
    const lenient = new AddressRules({ allowed: ["127.0.0.20/30", "fd00:1::/32"] });
    expect(lenient.permits("127.0.0.21")).toBe(true);
    expect(lenient.permits("127.0.0.24")).toBe(false);
    expect(lenient.permits("::ffff:127.0.0.21")).toBe(true);
    expect(lenient.permits("::ffff:127.0.0.24")).toBe(false);
    expect(lenient.permits("fd00:1::5")).toBe(true);
    expect(lenient.permits("fd00:2::5")).toBe(false);
    expect(lenient.permits("10.0.0.1")).toBe(false);
  });

  it("[DE3] all mapped addresses are all of IPv4, a wider range is one of IPv6", () => {
    const mapped = new AddressRules({ allowed: ["::ffff:0:0/96"] });
    for (const address of ["10.0.0.1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1"]) {
      expect(mapped.permits(address), address).toBe(true);
    }
    expect(mapped.permits("fd00::1")).toBe(false);
    const wider = new AddressRules({ allowed: ["::ffff:0:0/80"] });
    expect(wider.permits("::ffff:10.0.0.1")).toBe(true);
    expect(wider.permits("10.0.0.1")).toBe(false);
    const other = new AddressRules({ allowed: ["fd00::1/128"] });
    expect(other.permits("fd00::1")).toBe(true);
    expect(other.permits("fd00::2")).toBe(false);
  });

  it("[DE3] a range that is none is a fault at the start", () => {
    expect(() => new AddressRules({ allowed: ["127.0.0.1"] })).toThrow(/CIDR/);
  });
});

describe("services of clouds", () => {
  it.each([
    ["168.63.129.16", "Azure"],
    ["199.36.153.4", "Google Cloud"],
    ["199.36.153.11", "Google Cloud"],
    ["2600:2d00:2:1000::1", "Google Cloud"],
    ["2600:2d00:2:2000::", "Google Cloud"],
    ["161.26.0.10", "IBM Cloud"],
    ["166.11.255.255", "IBM Cloud"],
    ["166.8.0.0", "IBM Cloud"],
    ["183.60.82.98", "Tencent Cloud"],
    ["183.60.83.19", "Tencent Cloud"],
  ])("[DE5] refuses %s, globally routable as it is, and names %s", (address, cloud) => {
    expect(policy.permits(address)).toBe(false);
    expect(policy.refusalOf(address, 443)).toContain(`(${cloud})`);
    expect(policy.refusalOf(address, 443)).toContain("--allow");
    expect(
      new AddressRules({ allowed: [`${address}/128`.replace(/^([\d.]+)\/128/, "$1/32")] }).permits(address),
    ).toBe(true);
  });

  it.each([
    ["AWS", "169.254.169.254"],
    ["AWS by IPv6", "fd00:ec2::254"],
    ["AWS, containers", "169.254.170.2"],
    ["Google Cloud by IPv6", "fd20:ce::254"],
    ["Oracle", "192.0.0.192"],
    ["Alibaba", "100.100.100.200"],
    ["Tencent", "169.254.0.23"],
    ["Scaleway", "169.254.42.42"],
    ["Scaleway by IPv6", "fd00:42::42"],
    ["Linode by IPv6", "fd00:a9fe:a9fe::1"],
    ["OpenStack by IPv6", "fe80::a9fe:a9fe"],
    ["Fly", "fdaa::3"],
  ])("[DE5] refuses the metadata service of %s", (_cloud, address) => {
    expect(policy.permits(address)).toBe(false);
  });

  it("[DE5] refuses them in every IPv6 form, and permits their neighbours", () => {
    for (const form of [
      "::ffff:168.63.129.16",
      "64:ff9b::a83f:8110",
      "2002:a83f:8110::1",
      "2a00::5efe:a83f:8110",
    ]) {
      expect(policy.permits(form), form).toBe(false);
    }
    for (const address of [
      "168.63.129.15",
      "168.63.129.17",
      "199.36.153.3",
      "199.36.153.12",
      "2600:2d00:2:3000::1",
    ]) {
      expect(policy.permits(address), address).toBe(true);
    }
  });
});

describe("denials", () => {
  const ruled = new AddressRules({
    allowed: ["10.0.0.0/8", "10.1.2.0/24", "8.8.8.0/24", "192.168.0.0/16"],
    denied: [
      "10.1.0.0/16",
      "8.0.0.0/8",
      "2a00::/16",
      "192.168.0.0/16",
      "::ffff:9.9.9.0/120",
      "::7.7.7.7/128",
    ],
  });

  it.each([
    ["8.8.9.1", false],
    ["8.8.8.1", true],
    ["10.0.0.1", true],
    ["10.1.0.1", false],
    ["10.1.2.1", true],
    ["192.168.1.1", false],
    ["9.9.9.9", false],
    ["9.9.8.9", true],
    ["::7.7.7.7", false],
    ["::707:707", false],
    ["7.7.7.7", true],
    ["2a00::1", false],
    ["2a01::1", true],
    ["::ffff:8.8.9.1", false],
    ["64:ff9b::8.8.9.1", false],
    ["64:ff9b::8.8.8.1", true],
    ["2002:0a01:0001::1", false],
  ])("[DE7] the longest range decides, denial among equals: %s", (address, isPermitted) => {
    expect(ruled.permits(address)).toBe(isPermitted);
  });

  it("[DE7] says that it was the operator", () => {
    expect(ruled.refusalOf("8.8.9.1", 443)).toContain("--deny");
  });

  it("[DE7] an exception for a wrapping does not lift the denial of what it carries", () => {
    const wrapped = new AddressRules({ allowed: ["64:ff9b::/96"], denied: ["10.0.0.0/8"] });
    expect(wrapped.permits("64:ff9b::10.0.0.1")).toBe(false);
    expect(wrapped.refusalOf("64:ff9b::10.0.0.1", 443)).toContain("--deny");
    expect(wrapped.permits("64:ff9b::127.0.0.1")).toBe(true);
  });
});

it("[DE6] the machine's own addresses are refused unless they are allowed", async () => {
  const isOwn = (ip: string): Promise<boolean> => Promise.resolve(ip.startsWith("5."));
  const own = new AddressRules({ allowed: ["5.0.0.8/32"], machine: { isOwn } });
  expect(await own.refusalOf("5.0.0.1", 443)).toContain("an address of the host itself");
  expect(await own.refusalOf("5.0.0.1", 443)).toContain("--allow");
  expect(own.refusalOf("5.0.0.8", 443)).toBeNull();
  expect(await own.refusalOf("6.0.0.1", 443)).toBeNull();
  expect(own.refusalOf("10.0.0.1", 443)).toContain("--allow");
});

it("[DE6] where the kernel's answer is known, so is the refusal, at once", () => {
  const own = new AddressRules({ machine: { isOwn: (ip) => ip === "5.0.0.1" } });
  expect(own.refusalOf("5.0.0.1", 443)).toContain("an address of the host itself");
  expect(own.refusalOf("5.0.0.2", 443)).toBeNull();
  expect(policy.refusalOf("5.0.0.1", 443)).toBeNull();
});

it("[DE5] [DE7] a refusal says what the address is, and what would lift it", () => {
  const denying = new AddressRules({ denied: ["8.8.8.0/24"] });
  const reasons = ["10.0.0.1", "fe80::1", "8.8.8.8", "a.test", "168.63.129.16"].map((address) =>
    denying.refusalOf(address, 443),
  );
  expect(reasons).toEqual([
    "a private or special address; hosts reach it only if they run with --allow for its range",
    "a private or special address; hosts reach it only if they run with --allow for its range",
    "in a range that the host's operator denies with --deny",
    "no address that can be reached",
    "a service of the cloud (Azure) to its own machines; hosts reach it only if they run with --allow for its range",
  ]);
});

it("[DE1] what was judged stays so, however many addresses are judged in between", () => {
  const judging = new AddressRules();
  const judge = (): boolean[] => ["10.0.0.1", "8.8.8.8"].map((address) => judging.permits(address));
  expect(judge()).toEqual([false, true]);
  for (let at = 0; at < 5_000; at += 1) judging.permits(`9.9.${at >> 8}.${at & 255}`);
  expect(judge()).toEqual([false, true]);
});

it("[DE2] what is no address is not permitted", () => {
  for (const text of [
    "",
    "example.com",
    "1.2.3.4.5",
    "::g",
    "fe80::1%eth0",
    "2a00::1%eth0",
    "2a00::1%25eth0",
    "[2a00::1]",
  ])
    expect(policy.permits(text)).toBe(false);
});

it("[DE2] a mapped address is dialled as what it is", () => {
  expect(unmapped("::ffff:8.8.8.8")).toBe("8.8.8.8");
  expect(unmapped("2a00::1")).toBe("2a00::1");
  expect(unmapped("8.8.8.8")).toBe("8.8.8.8");
  // A kernel writes ::808:808 so, and ::10 has no IPv4 address written in it.
  expect(unmapped("::8.8.8.8")).toBe("::808:808");
  expect(unmapped("::10")).toBe("::10");
  expect(unmapped("::1")).toBe("::1");
  // The judgement of these is that they are none, so they stay as they are.
  for (const text of ["127.1", "::g", "::ffff:1.2.3", "a.test", ""]) expect(unmapped(text)).toBe(text);
});
