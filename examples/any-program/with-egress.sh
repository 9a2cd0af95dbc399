#!/bin/sh
# Runs any program that honours the usual variables with its connections through a host's proxy.
#
#     ./with-egress.sh curl https://api.example.com/v1/orders
#     EGRESS_SELECT=session=cart-42 ./with-egress.sh python3 report.py
#
# EGRESS_PROXY is where the proxy of a host listens. From another machine a client's token is needed (EGRESS_TOKEN),
# and then the proxy is to speak TLS: EGRESS_PROXY=https://h1.example.com:3128
set -eu
proxy=${EGRESS_PROXY:-http://127.0.0.1:3128}
select=${EGRESS_SELECT:-}
token=${EGRESS_TOKEN:-}
if [ -n "$select$token" ]; then
  proxy="${proxy%%://*}://$select:$token@${proxy#*://}"
fi
# Some programs read the small names, some the large ones. What is excepted would go out by another address.
export http_proxy="$proxy" https_proxy="$proxy" all_proxy="$proxy" HTTP_PROXY="$proxy" HTTPS_PROXY="$proxy" ALL_PROXY="$proxy"
unset no_proxy NO_PROXY
exec "$@"
