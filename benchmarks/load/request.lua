-- Sends the requests of a file in turn, and prints what wrk measured as one line of JSON. Called by load/wrk.py.
-- The file: for each request a line with its length in bytes, then the bytes.
local requests, count, turn = {}, 0, 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  for line in function() return file:read("*l") end do
    count = count + 1
    requests[count] = file:read(tonumber(line))
  end
  file:close()
end

function request()
  turn = turn % count + 1
  return requests[turn]
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format(
    '\nJSON {"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"p999_us":%d,"max_us":%d,"failed":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    latency.max, e.status + e.connect + e.read + e.write + e.timeout))
end
