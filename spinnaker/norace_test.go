//go:build !race

package spinnaker_test

// raceTakes is how many times as much is allocated without the race detector, as in the program that is shipped.
const raceTakes = 1
