//go:build race

package spinnaker_test

// raceTakes is the factor by which the race detector increases allocations: it makes pools drop values at random.
const raceTakes = 2.5
