"""The daemon: state, life-cycles and wiring; the only place that starts tasks."""
