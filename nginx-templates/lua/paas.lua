-- Sends each request to one of the app's current containers, and counts what they are answering.
--
-- Upstreams live in shared memory, so a deploy, scale or restart needs no reload. They come from PUT requests on a unix socket
-- and, when nginx starts, from the files that were written before those. One text per app, both in the file and in memory:
--     <backend> <address>:<port>
--     <backend> none                   something should run there, and does not
-- A backend is a container port, with the process type before it unless that is web: 5000, web-admin:5000.
--
-- Requests in flight are counted per worker and peer. A worker writes only its own numbers, so none is lost between two of
-- them, and those of a worker that crashed are told by its pid.
--
-- Source: lua-nginx-module README and lua-resty-core, lib/ngx/balancer.md.

local balancer = require "ngx.balancer"
local ffi = require "ffi"
local process = require "ngx.process"

local upstreams = ngx.shared.paas_upstreams
local in_flight = ngx.shared.paas_in_flight

-- NGX_BUSY: nginx takes it for "no live upstreams" and answers 502. An HTTP status here needs OpenResty's patched nginx.
local NO_LIVE_UPSTREAMS = -3
-- How many other peers a request is offered when one refuses the connection.
local MORE_TRIES = 3

local paas = {}

-- Worker-local: the parsed text of each app; the attempt under way of each request ($request_id outlives the internal redirect
-- to an error page, ngx.ctx does not).
local parsed = {}
local attempts = {}
local idle = {}    -- requests for a backend where nothing should run
local turn = math.random(1000)

local function parse(text)
    local backends = {}
    for backend, peer in text:gmatch("(%S+) (%S+)\n") do
        local peers = backends[backend] or {}
        backends[backend] = peers
        local address, port = peer:match("^([%d.]+):(%d+)$")
        if address then
            peers[#peers + 1] = { address = address, port = tonumber(port), name = peer }
        end
    end
    return backends
end

-- The peers of a backend; nil when nothing should run there.
local function peers_of(app, backend)
    local text = upstreams:get(app) or ""
    local known = parsed[app]
    if not known or known.text ~= text then
        known = { text = text, backends = parse(text) }
        parsed[app] = known
    end
    return known.backends[backend]
end

local function counter_of(peer)
    return ngx.worker.pid() .. " " .. peer.name
end

local function leave(attempt)
    local counter = counter_of(attempt.peer)
    attempt.peer = nil
    if (in_flight:incr(counter, -1) or 0) <= 0 then
        in_flight:delete(counter)
    end
end

-- balancer_by_lua: called once for each attempt.
function paas.balance(app, backend)
    local peers = peers_of(app, backend)
    local is_wanted = peers ~= nil
    peers = peers or {}
    local request = ngx.var.request_id
    local attempt = attempts[request]
    if attempt then
        if attempt.peer then
            leave(attempt)
        end
        attempt.turn = attempt.turn + 1
    elseif #peers > 0 then
        turn = turn + 1
        attempt = { turn = turn }
        attempts[request] = attempt
        balancer.set_more_tries(math.min(#peers - 1, MORE_TRIES))
    end
    if #peers == 0 then
        idle[request] = not is_wanted
        return ngx.exit(NO_LIVE_UPSTREAMS)
    end
    local peer = peers[attempt.turn % #peers + 1]
    assert(balancer.set_current_peer(peer.address, peer.port))
    attempt.peer = peer
    in_flight:incr(counter_of(peer), 1, 0)
end

-- content_by_lua of what answers when nobody else did: choose the page.
function paas.explain()
    return ngx.exit(idle[ngx.var.request_id] and ngx.HTTP_SERVICE_UNAVAILABLE or ngx.HTTP_BAD_GATEWAY)
end

-- log_by_lua: called once for each request, however it ended.
function paas.log()
    local request = ngx.var.request_id
    local attempt = attempts[request]
    idle[request] = nil
    if attempt then
        attempts[request] = nil
        if attempt.peer then
            leave(attempt)
        end
    end
end

local function is_worker(pid)
    local comm = io.open("/proc/" .. pid .. "/comm")
    if not comm then
        return false
    end
    local name = comm:read()
    comm:close()
    return name == "nginx"
end

local function count_in_flight(peer)
    local total = 0
    for _, key in ipairs(in_flight:get_keys(0)) do
        local pid, name = key:match("^(%d+) (.+)$")
        if name == peer then
            if is_worker(pid) then
                total = total + (in_flight:get(key) or 0)
            else
                in_flight:delete(key)
            end
        end
    end
    return total
end

local function answer(status, text)
    ngx.status = status
    ngx.print(text)
    return ngx.exit(ngx.OK)
end

local function put(app)
    ngx.req.read_body()
    -- safe_set: when memory is full, say so; never forget another app.
    local ok, problem = upstreams:safe_set(app, ngx.req.get_body_data() or "")
    if not ok then
        return answer(507, problem)
    end
    return answer(204, "")
end

-- content_by_lua of the unix socket.
function paas.control()
    local method, path = ngx.req.get_method(), ngx.var.uri
    local app, peer = path:match("^/upstreams/(.+)$"), path:match("^/in%-flight/(.+)$")
    if path == "/status" and method == "GET" then
        return answer(200, ngx.var.paas_generation .. " " .. process.get_master_pid())
    elseif peer and method == "GET" then
        return answer(200, tostring(count_in_flight(peer)))
    elseif app and method == "GET" then
        return answer(200, upstreams:get(app) or "")
    elseif app and method == "PUT" then
        return put(app)
    elseif app and method == "DELETE" then
        upstreams:delete(app)
        return answer(204, "")
    end
    return answer(404, "")
end

-- struct dirent of 64-bit Linux (readdir(3)).
ffi.cdef [[
    struct paas_dirent { uint64_t inode; int64_t offset; uint16_t length; uint8_t type; char name[256]; };
    void *opendir(const char *name);
    struct paas_dirent *readdir(void *directory);
    int closedir(void *directory);
]]

local function names_in(path)
    local names = {}
    local directory = ffi.C.opendir(path)
    if directory == nil then
        return names
    end
    local entry = ffi.C.readdir(directory)
    while entry ~= nil do
        names[#names + 1] = ffi.string(entry.name)
        entry = ffi.C.readdir(directory)
    end
    ffi.C.closedir(directory)
    return names
end

-- A killed nginx leaves its socket's file, and could then never bind it again. A bound one belongs to a running nginx.
local function remove_stale_socket(socket)
    for line in io.lines("/proc/net/unix") do
        if line:sub(-#socket - 1) == " " .. socket then
            return
        end
    end
    os.remove(socket)
end

-- init_by_lua: runs as root at each start and reload, before sockets are bound.
function paas.init(directory, socket)
    remove_stale_socket(socket)
    for _, name in ipairs(names_in(directory)) do
        local file = name:sub(1, 1) ~= "." and io.open(directory .. "/" .. name)
        if file then
            upstreams:safe_add(name, file:read("*a") or "")    -- memory outlives a reload and knows better
            file:close()
        end
    end
end

return paas
