//go:build !(linux && amd64)

package e2e

// There are no faults of clocks here: the clock of a single process can be set only on Linux and amd64.
var clockFaults, prometheusAhead, prometheusBehind []realFault
