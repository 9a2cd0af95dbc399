-- GETs with a whole URL as target, which is how a client asks a forward proxy.
-- wrk -s get.lua http://PROXY -- ORIGIN [PROXY-AUTHORIZATION]
local asked

function init(args)
  local headers = { ["Host"] = args[1] }
  if args[2] then headers["Proxy-Authorization"] = args[2] end
  wrk.headers = headers
  asked = wrk.format("GET", "http://" .. args[1] .. "/")
end

function request()
  return asked
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  print(string.format('{"count":%d,"errors":%d,"seconds":%.3f,"p50Us":%d,"p99Us":%d,"bytes":0,"kept":0}',
    summary.requests, failed, summary.duration / 1e6, latency:percentile(50), latency:percentile(99)))
end
