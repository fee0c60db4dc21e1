-- For wrk: one file again and again. Argument: its path.
-- Prints requests per second, the 99th percentile in microseconds, and how many went wrong.
local get

function init(args)
    get = wrk.format("GET", args[1])
end

function request()
    return get
end
function done(summary, latency)
    local errors = summary.errors
    local wrong = errors.status + errors.read + errors.write + errors.timeout + errors.connect
    io.write(string.format("RESULT %.0f %.0f %d\n", summary.requests * 1e6 / summary.duration,
        latency:percentile(99), wrong))
end
