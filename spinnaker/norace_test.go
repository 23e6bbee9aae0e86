//go:build !race

package spinnaker_test

// raceTakes is the factor by which the race detector, which is off here, increases allocations.
const raceTakes = 1
