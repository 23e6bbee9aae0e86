//go:build !(linux && amd64)

package e2e

// clockFaults is empty: the clock of one process can be set only on Linux and amd64.
var clockFaults []realFault
