/** Orders of a customer, from a partner's API that lets in one address. */
export default {
  async fetch(request, env) {
    const customer = new URL(request.url).searchParams.get("customer") ?? "nobody";
    const answer = await env.EGRESS.fetch(
      `${env.PARTNER}/v1/orders?customer=${encodeURIComponent(customer)}`,
      {
        // The partner's own credentials pass as they are.
        headers: { authorization: `Bearer ${env.PARTNER_KEY}` },
      },
    );
    // An answer of the egress itself, such as that no host has a port, is a problem document with its code.
    if (
      answer.headers.get("content-type") === "application/problem+json" &&
      !answer.headers.has("egress-host")
    ) {
      const { code } = await answer.json();
      return Response.json({ error: "The partner cannot be asked now.", code }, { status: 503 });
    }
    return Response.json({ orders: await answer.json(), askedFrom: answer.headers.get("egress-ip") });
  },
};
