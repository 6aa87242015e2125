-- For wrk: `wrk ... URL -- SIZE PAUSE [PATH SIZE]...`, and the result as one line of JSON at the end.
-- SIZE is that of a POST's body, 0 for GET; PAUSE, in milliseconds, is what each connection waits on average before a
-- request; each PATH is asked for in turn with the URL's.

-- Makes what wrk sends next GET, or POST of so many bytes.
local function shape(size)
    local upload = size > 0
    wrk.method = upload and "POST" or "GET"
    wrk.headers["Content-Type"] = upload and "application/octet-stream" or nil
    wrk.body = upload and string.rep("x", size) or nil
end

-- wrk asks `request` before each request once there is one, which costs it time.
local function take_turns(messages)
    local last = 0
    function request()
        last = last % #messages + 1
        return messages[last]
    end
end

-- At random, because connections that wait equally long keep together and ask all at once.
local function wait(pause)
    function delay()
        return math.random(0, math.floor(2 * pause + 0.5))
    end
end

function init(arguments)
    local messages = {}
    for place = 3, #arguments, 2 do
        shape(tonumber(arguments[place + 1]))
        table.insert(messages, wrk.format(nil, arguments[place]))
    end
    shape(tonumber(arguments[1]))
    if #messages > 0 then
        table.insert(messages, wrk.format())
        take_turns(messages)
    end
    local pause = tonumber(arguments[2])
    if pause > 0 then
        wait(pause)
    end
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '{"requests": %d, "bytes": %d, "microseconds": %d, "p50": %d, "p99": %d, "failed": %d, "refused": %d}\n',
        summary.requests, summary.bytes, summary.duration,
        latency:percentile(50), latency:percentile(99),
        errors.connect + errors.read + errors.write + errors.timeout, errors.status
    ))
end
