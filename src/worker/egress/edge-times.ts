/** How long clients of the egress API waited for their answers to begin: for whoever reads the edge's metrics. [MT15] */
import { METRICS } from "../../metrics/catalogue.ts";
import { TimeHistogram } from "../../metrics/time-histogram.ts";

const { buckets } = METRICS.ipshard_edge_first_byte_seconds;

/** Of this isolate, by who answered. */
export const edgeTimes = {
  host: new TimeHistogram(buckets),
  edge: new TimeHistogram(buckets),
};
