/** A stand-in as the contract wants an egress, wherever it runs. */
import type { EgressControl } from "../../src/testing/edge/control.ts";
import type { ContractSubject } from "./egress-contract.ts";

let count = 0;

/** The subject that is told by this. */
export function standInSubject(control: EgressControl, endpoint: string, token: string): ContractSubject {
  return {
    endpoint,
    token,
    ips: ["192.0.2.1", "192.0.2.2"],
    prohibited: "http://10.0.0.1/",
    echo: "echo.test:7",
    told: async (answer) => {
      const url = `http://told.test/${(count += 1)}`;
      await control.answer(url, answer);
      return url;
    },
    seen: async (url) => (await control.calls()).findLast((call) => call.url === url)!,
    refusing: async (code) => {
      const url = `http://refusing.test/${code}`;
      await control.answer(url, { refuse: code });
      return { url };
    },
  };
}
