"""Files for operators: Prometheus rules, a Grafana dashboard, a systemd unit and a container file. No code."""
