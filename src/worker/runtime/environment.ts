/** What the Worker finds in its environment, as `wrangler.toml` names it. */
import type { ObjectBindings } from "../../../durable-objects/bindings.ts";

/** Objects, public issuer keys and the edge's own key. */
export interface Environment extends ObjectBindings {
  /** A JWKS as JSON text: whose client, host, router and admin tokens count. */
  readonly ISSUER_KEYS: string;
  /** A private JWK as JSON text, with which gateway tokens are signed. */
  readonly EDGE_KEY?: string;
  /** What Prometheus shows at `/metrics`; without it only administrators may look. */
  readonly METRICS_TOKEN?: string;
  /** Set where one isolate is the whole edge. */
  readonly SELF_HOSTED?: string;
  /** Which answers of the egress API get a line in the log: `refused`, or `all`; none without it. */
  readonly LOG_DECISIONS?: string;
  /** URL of a collector of OpenTelemetry, for spans of requests whose traces are recorded. */
  readonly OTLP_URL?: string;
  /** Where a point is written for each request to the egress API, on Cloudflare. */
  readonly ANALYTICS?: AnalyticsEngineDataset;
  /** The network of the gateways, where it is not the one that `fetch` uses. */
  readonly GATEWAYS?: Fetcher;
  /** The files of the dashboard, as they were built; absent where the edge was deployed without them. */
  readonly DASHBOARD?: Fetcher;
  /** The process beside workerd, which has the files of the objects, and what it must be shown. */
  readonly COPIES?: Fetcher;
  readonly COPIES_KEY?: string;
}

/** What a handler needs of its execution context: work that may outlive the response. */
export interface Background {
  waitUntil(work: Promise<unknown>): void;
}
