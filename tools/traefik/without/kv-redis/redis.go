// Package redis stands in for the store of that name: it registers none. See tools/README.md in Serin's repository.
package redis

import "crypto/tls"

const StoreName = "redis"

type Config struct {
	TLS                *tls.Config
	Username, Password string
	DB                 int
	Sentinel           *Sentinel
}

type Sentinel struct {
	MasterName, Username, Password string

	ClusterClient, RouteByLatency, RouteRandomly, ReplicaOnly, UseDisconnectedReplicas bool
}
