"""nginx as the proxy: one vhost file per app, upstreams in its shared memory (nginx-templates/lua/paas.lua)."""
