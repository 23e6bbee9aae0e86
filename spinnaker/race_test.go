//go:build race

package spinnaker_test

// raceTakes is how many times as much is allocated under the race detector, where pools forget on purpose, as in the program that is shipped.
const raceTakes = 2.5
