// Package quic stands in for QUIC: nothing speaks it. See tools/README.md in Serin's repository.
package quic

type Config struct{ Allow0RTT bool }
