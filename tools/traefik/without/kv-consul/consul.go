// Package consul stands in for the store of that name: it registers none. See tools/README.md in Serin's repository.
package consul

import (
	"crypto/tls"
	"time"
)

const StoreName = "consul"

type Config struct {
	ConnectionTimeout time.Duration
	Token, Namespace  string
	TLS               *tls.Config
}
