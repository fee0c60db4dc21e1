-- For wrk: version checks of the fleet that benches/fleet makes, one device after the other.
-- Arguments: the path, the number of the first device, the number after the last, the version that is reported, and the
-- version that is reported when they check again, and so on in turns.
local begin, tail, other
local imeis, n = {}, 0

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

function init(args)
    for number = tonumber(args[2]), tonumber(args[3]) - 1 do
        imeis[#imeis + 1] = imei(number)
    end
    -- Put together here and not by wrk, which would take longer than some servers.
    begin = "POST " .. args[1] .. " HTTP/1.1\r\nHost: ota.example.com\r\nContent-Type: text/plain\r\nUser-Agent: GW/"
    local function rest(version)
        return "\r\nContent-Length: " .. #version .. "\r\n\r\n" .. version
    end
    tail, other = rest(args[4]), rest(args[5] or args[4])
end

function request()
    n = n + 1
    if n > #imeis then
        n = 1
        tail, other = other, tail
    end
    return begin .. imeis[n] .. tail
end

-- Prints requests per second, the 99th percentile in microseconds, and how many went wrong.
function done(summary, latency)
    local errors = summary.errors
    local wrong = errors.status + errors.read + errors.write + errors.timeout + errors.connect
    io.write(string.format("RESULT %.0f %.0f %d\n", summary.requests * 1e6 / summary.duration,
        latency:percentile(99), wrong))
end
