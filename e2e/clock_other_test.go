//go:build !(linux && amd64)

package e2e

// clockFaults and those of Prometheus's clock are none: the clock of one process can be set only on Linux and amd64.
var clockFaults, prometheusAhead, prometheusBehind []realFault
