"""Boots a Debian virtual machine on each kernel of the matrix and runs tests inside it.

agentcg needs systemd as PID 1, cgroup v2 with every controller, a container engine and kernels
that the development machine does not run. The package makes such a machine from the distribution's
own packages, without network and without touching the host's package sources.
"""
