//go:build !(linux && amd64)

package e2e

// clockFaults: the clock of one process can be set on Linux and amd64 only.
var clockFaults []realFault
