-- The requests of one run of wrk: method, path (with {id}), file of ids, number of the first
-- request, milliseconds of pause before each, body (a format of two numbers: the request's own, and a severity).
local method, path, first, pause, body
local ids, ready, threads = {}, {}, {}
sent = 0  -- global, so that it can be read of each thread

function setup(thread)
  threads[#threads + 1] = thread
end

function init(args)
  method, path, first, pause, body = args[1], args[2], tonumber(args[4]), tonumber(args[5]), args[6]
  for id in io.lines(args[3]) do ids[#ids + 1] = id end
  if body == nil then
    for place, id in ipairs(ids) do ready[place] = wrk.format(method, (path:gsub("{id}", id))) end
  end
end

function request()
  sent = sent + 1
  local number = first + sent
  local place = number * 7919 % #ids + 1  -- a prime stride: every id in turn, never two neighbours in turn
  if body == nil then return ready[place] end
  local headers = {["Content-Type"] = "application/json"}
  return wrk.format(method, (path:gsub("{id}", ids[place])), headers, body:format(number, 10 + number % 40))
end

function delay()  -- in whole milliseconds, the pause on average
  local whole = math.floor(pause)
  return whole + (math.random() < pause - whole and 1 or 0)
end

function done(summary, latency, requests)
  local errors = summary.errors
  local poorest, richest = math.huge, 0
  for _, thread in ipairs(threads) do
    local count = thread:get("sent")
    poorest, richest = math.min(poorest, count), math.max(richest, count)
  end
  io.write(string.format(
    '{"requests":%d,"seconds":%f,"failed":%d,"broken":%d,"p50":%f,"p99":%f,"longest":%f,"poorest":%f}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3, poorest / richest))
end
