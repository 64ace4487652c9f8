"""The REST API on two Unix sockets. It knows the daemon only as `controller.Controller`."""
