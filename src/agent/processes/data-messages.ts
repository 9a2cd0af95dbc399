/**
 * What an agent and its data processes tell each other. Both are of one installation, so the shapes
 * are not checked as those from strangers are.
 */
import type { TakenDecisions } from "../../core/live-view.ts";
import type { PoolPolicy } from "../../core/pool-policy.ts";
import type { Samples } from "../../metrics/node/registry.ts";
import type { LocalUse, ShareMessage } from "../../core/share-messages.ts";
import type { AddressUplink, Place } from "../../core/uplink.ts";
import type { CommandFaultCode } from "../../process/command-fault.ts";
import type { UploadStatus } from "../../wire/upload-status.ts";
import type { PlaneCounts } from "../watch/plane-watch.ts";
import type { PartCommand, PartReport } from "../division/part-messages.ts";

/** What of a process is to be seen. */
export interface PartView {
  /** Whether its ports in use are to be counted. */
  readonly ports: boolean;
  /** The most decisions that are noted from now on; none for 0. */
  readonly decisionCount: number;
}

/** To a data process. `Config` is what it needs to begin. */
export type ToDataProcess<Config> =
  | { readonly type: "begin"; readonly config: Config }
  /** The pool's policy, by which it decides from now on. */
  | { readonly type: "policy"; readonly policy: PoolPolicy }
  /** The addresses that the host serves, and what the Internet sees instead of some. */
  | {
      readonly type: "serve";
      readonly ips: readonly string[];
      readonly advertised: Readonly<Record<string, string>>;
    }
  /** What it may have of tenants' limits. */
  | { readonly type: "shares"; readonly shares: ShareMessage }
  /** What it may use of an address; without a command it is asked for a report. */
  | { readonly type: "part"; readonly ip: string; readonly command: PartCommand | null }
  /** It is to say that it is well, how its ways out look, and what it counts; and what is to be seen of it. */
  | { readonly type: "ping"; readonly number: number; readonly view: PartView }
  /** Admits no new flows. */
  | { readonly type: "stop-admitting" }
  /** Says so (`served`) when its clients have been served. */
  | { readonly type: "serve-out" }
  | { readonly type: "end" }
  | { readonly type: "try"; readonly id: number; readonly ip: string; readonly places: readonly Place[] }
  | { readonly type: "status-wanted"; readonly id: number }
  /** It is to say what it counts. */
  | { readonly type: "metrics-wanted"; readonly id: number }
  | { readonly type: "status"; readonly id: number; readonly status: Record<string, unknown> }
  | UploadMessage;

/** From a data process. */
export type FromDataProcess =
  | { readonly type: "hello"; readonly number: number }
  /** It listens. */
  | { readonly type: "ready" }
  /** It decides by this version of the pool's policy. */
  | { readonly type: "policy-taken"; readonly version: number }
  | { readonly type: "failed"; readonly code: CommandFaultCode; readonly sentence: string }
  | { readonly type: "report"; readonly ip: string; readonly report: PartReport }
  | {
      readonly type: "pong";
      readonly number: number;
      readonly uplinks: readonly (readonly [ip: string, uplink: AddressUplink])[];
      readonly counts: PlaneCounts;
    }
  /** What somebody looks at, and by address its ports in use by their units. */
  | {
      readonly type: "seen";
      readonly decisions: TakenDecisions;
      readonly usedPorts: readonly (readonly [ip: string, used: readonly (readonly [number, number])[]])[];
    }
  | { readonly type: "served" }
  /** What tenants use in it, and up to which `shares` it knows. */
  | { readonly type: "use"; readonly number: number; readonly uses: readonly LocalUse[] }
  | { readonly type: "tried"; readonly id: number; readonly reached: readonly Place[] }
  /** Its own status. */
  | { readonly type: "own-status"; readonly id: number; readonly status: Record<string, unknown> }
  | { readonly type: "own-metrics"; readonly id: number; readonly metrics: Samples }
  /** A client of it wants the status of the host. */
  | { readonly type: "host-status-wanted"; readonly id: number }
  | UploadMessage;

/** About an upload whose sender asks at one process, and that came to another. [GW24] */
export type UploadMessage =
  | { readonly type: "upload-asked" | "upload-left"; readonly key: string }
  | { readonly type: "upload-told"; readonly key: string; readonly status: UploadStatus };
