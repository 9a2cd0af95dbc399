/**
 * Asks a partner's API from the shared address, with the SDK.
 *
 *     EGRESS_URL=https://edge.example.com EGRESS_TOKEN=$(cat client.token) node orders.js https://api.example.com/v1/orders
 */
import { createEgress, EgressError, egressOf } from "ipshard";

const [url] = process.argv.slice(2);
const egress = createEgress({ endpoint: process.env.EGRESS_URL, token: process.env.EGRESS_TOKEN });

try {
  const response = await egress.fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ article: "tea", count: 2 }),
  });
  // Whatever the partner answers is a normal response, also 4xx and 5xx.
  console.log(
    JSON.stringify({ status: response.status, from: egressOf(response)?.ip, body: await response.json() }),
  );
} catch (fault) {
  // What ipshard refuses has a stable code: destination-prohibited, port-block-exhausted, …
  if (!(fault instanceof EgressError)) throw fault;
  console.error(`refused: ${fault.code}`);
  process.exitCode = 1;
}
