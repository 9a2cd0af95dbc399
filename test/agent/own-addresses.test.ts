/** Which addresses are this machine's own, as far as any machine can show it. */
import { execFile } from "node:child_process";
import { networkInterfaces } from "node:os";
import { promisify } from "node:util";
import { afterEach, expect, it } from "vitest";
import { OwnAddresses, type OwnAddressesOptions } from "../../src/agent/egress/own-addresses.ts";

const open: OwnAddresses[] = [];
afterEach(() => {
  for (const own of open.splice(0)) own.close();
});

function ownAddresses(options?: OwnAddressesOptions): OwnAddresses {
  const own = new OwnAddresses(options);
  open.push(own);
  return own;
}

it("[DE6] every address of every interface is the machine's own, its neighbours are not", async () => {
  const own = ownAddresses();
  const here = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  const addresses = here.filter(({ address }) => !address.startsWith("fe80:")).map(({ address }) => address);
  const answers = await Promise.all(addresses.map(async (ip) => own.isOwn(ip)));
  expect(answers).toEqual(addresses.map(() => true));
  expect(await own.isOwn("8.8.8.8")).toBe(false);
  expect(await own.isOwn("2001:4860:4860::8888")).toBe(false);
});

it("[DE6] what is known for a second is answered at once, a shared address always", async () => {
  let nowMs = 0;
  const own = ownAddresses({ now: () => nowMs, isShared: (ip) => ip === "9.9.9.9" });
  expect(own.isOwn("9.9.9.9")).toBe(true);
  expect(own.isOwn("127.0.0.1")).toBeInstanceOf(Promise);
  expect(await own.isOwn("127.0.0.1")).toBe(true);
  nowMs = 999;
  expect(own.isOwn("127.0.0.1")).toBe(true);
  nowMs = 1_000;
  expect(own.isOwn("127.0.0.1")).toBeInstanceOf(Promise);
});

it("[DE6] many questions at once get the answer to their own", async () => {
  const own = ownAddresses();
  const asked = Array.from({ length: 200 }, (_, at) => (at % 2 === 0 ? "127.0.0.1" : `8.8.${at}.8`));
  const answers = await Promise.all(asked.map(async (ip) => own.isOwn(ip)));
  expect(answers).toEqual(asked.map((ip) => ip === "127.0.0.1"));
});

it("[DE6] closed in the middle of questions, each is answered", async () => {
  const own = ownAddresses();
  const answers = Promise.all(["8.8.8.8", "127.0.0.1", "1.1.1.1"].map(async (ip) => own.isOwn(ip)));
  own.close();
  expect(await answers).toHaveLength(3);
});

it("[DE6] a kernel that cannot be asked is no answer, and is asked again", async () => {
  const script = `
    import { closeSync, openSync } from "node:fs";
    import { OwnAddresses } from ${JSON.stringify(import.meta.resolve("../../src/agent/egress/own-addresses.ts"))};
    const own = new OwnAddresses();
    const taken = [];
    try {
      for (;;) taken.push(openSync("/dev/null"));
    } catch {}
    const asked = ["127.0.0.1", "127.0.0.2"].map((ip) => own.isOwn(ip));
    const answers = (await Promise.allSettled(asked)).map(({ status, reason }) => reason?.code ?? status);
    for (const descriptor of taken) closeSync(descriptor);
    console.log(answers.join(), await own.isOwn("127.0.0.1"), await own.isOwn("8.8.8.8"));
  `;
  const limited = 'ulimit -n 64 && exec "$0" --input-type=module --eval "$1"';
  const { stdout } = await promisify(execFile)("sh", ["-c", limited, process.execPath, script]);
  expect(stdout.trim()).toBe("EMFILE,EMFILE true false");
});
