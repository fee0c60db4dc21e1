-- For wrk: version checks of the fleet that benches/fleet makes, one device after the other.
-- Arguments: the path, the number of the first device, the number after the last, the version that is reported.
local path, first, last, version
local n

function init(args)
    path, first, last, version = args[1], tonumber(args[2]), tonumber(args[3]), args[4]
    n = first
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "text/plain"
end

local function imei(number)
    local digits = string.format("35209%09d", number)
    local sum = 0
    for i = 1, 14 do
        local d = digits:byte(i) - 48
        if i % 2 == 0 then d = d * 2 end
        if d > 9 then d = d - 9 end
        sum = sum + d
    end
    return digits .. (10 - sum % 10) % 10
end

function request()
    wrk.headers["User-Agent"] = "GW/" .. imei(n)
    n = n + 1
    if n == last then n = first end
    return wrk.format(nil, path, nil, version)
end

-- Prints requests per second, the 99th percentile in microseconds, and how many went wrong.
function done(summary, latency)
    local errors = summary.errors
    local wrong = errors.status + errors.read + errors.write + errors.timeout + errors.connect
    io.write(string.format("RESULT %.0f %.0f %d\n", summary.requests * 1e6 / summary.duration,
        latency:percentile(99), wrong))
end
