// Package zookeeper stands in for the store of that name: it registers none. See tools/README.md in Serin's repository.
package zookeeper

import "time"

const StoreName = "zookeeper"

type Config struct {
	ConnectionTimeout  time.Duration
	Username, Password string
}
