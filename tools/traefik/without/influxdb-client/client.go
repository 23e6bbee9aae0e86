// Package influxdb2 stands in for the client of InfluxDB: it writes nothing. See tools/README.md in Serin's repository.
package influxdb2

import (
	"context"
	"errors"
	"time"

	"github.com/influxdata/influxdb-client-go/v2/api"
	"github.com/influxdata/influxdb-client-go/v2/api/write"
)

type Client interface {
	WriteAPIBlocking(org, bucket string) api.WriteAPIBlocking
	Close()
}

type none struct{}

func NewClient(string, string) Client { return none{} }

func NewPoint(string, map[string]string, map[string]any, time.Time) *write.Point {
	return &write.Point{}
}

func (none) WriteAPIBlocking(string, string) api.WriteAPIBlocking { return none{} }
func (none) Close()                                               {}

func (none) WritePoint(context.Context, ...*write.Point) error {
	return errors.New("this Traefik was built for Serin's tests, without InfluxDB")
}
