/**
 * Several shopping carts at a site that ties a cart to an address. Each cart keeps its own address over all of
 * its requests, and the carts are spread over all addresses of the pool.
 *
 *     EGRESS_URL=https://edge.example.com EGRESS_TOKEN=$(cat client.token) node carts.js https://shop.example.com/cart
 */
import { createEgress, egressOf } from "ipshard";

const [url, carts = "6"] = process.argv.slice(2);
const egress = createEgress({ endpoint: process.env.EGRESS_URL, token: process.env.EGRESS_TOKEN });

/** The steps of one cart; `strict` refuses rather than let a later step come from elsewhere. */
async function shop(session) {
  const seenFrom = [];
  for (const step of ["open", "add", "pay"]) {
    const response = await egress.fetch(`${url}?step=${step}`, {
      egress: { session, sticky: "strict", ttl: 600 },
    });
    await response.body?.cancel();
    seenFrom.push(egressOf(response)?.ip);
  }
  return [session, seenFrom];
}

const sessions = Array.from({ length: Number(carts) }, (_, number) => `cart-${number + 1}`);
console.log(JSON.stringify(Object.fromEntries(await Promise.all(sessions.map(shop)))));
