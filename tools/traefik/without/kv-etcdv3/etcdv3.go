// Package etcdv3 stands in for the store of that name: it registers none. See tools/README.md in Serin's repository.
package etcdv3

import (
	"crypto/tls"
	"time"
)

const StoreName = "etcdv3"

type Config struct {
	ConnectionTimeout  time.Duration
	Username, Password string
	TLS                *tls.Config
}
