#!/bin/sh
# Makes the guest a host with agentcg, as its user would. The wheel is already in /opt/agentcg (pip
# ran when that disk was made); here comes what touches the running system.
set -eu

docker import /usr/local/lib/vm/busybox.tar agentcg-test/busybox

if /opt/agentcg/bin/agentcg install --help >/dev/null 2>&1; then
    /opt/agentcg/bin/agentcg install --enable
fi
