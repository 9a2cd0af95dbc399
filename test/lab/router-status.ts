/** What the routers of a deployment count, as they tell administrators on the management network. */
import assert from "node:assert/strict";
import type { Deployment } from "./deployment.ts";
import { routerOnManagement } from "./plan.ts";

/** A router's own word on itself. */
export interface RouterStatus {
  readonly connected: boolean;
  readonly ready: boolean;
  readonly followedSequence: number | null;
  readonly drops: {
    readonly byReason: Readonly<Record<string, number>>;
    readonly byIp: Readonly<Record<string, number>>;
  };
}

/** Asks a router that the management network reaches. */
export async function statusOf(deployment: Deployment, router: `r${number}`): Promise<RouterStatus> {
  const { ipv4 } = routerOnManagement(Number(router.slice(1)));
  const answer = await deployment.client.request({
    url: `http://${ipv4}:9000/v1/status`,
    headers: { authorization: `Bearer ${await deployment.token("admin", "operator")}` },
  });
  assert(answer.status === 200, `status of ${router}: ${answer.status} ${answer.body}`);
  return JSON.parse(answer.body) as RouterStatus;
}
